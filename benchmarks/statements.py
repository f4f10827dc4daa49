"""The statements that something needs: which, how long each took, and why the slowest did."""

import re
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from django.db import connection


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement that was executed."""

    sql: str
    parameters: Any
    ms: float

    def __str__(self) -> str:
        shortened = re.sub(r"SELECT (.{200,}?) FROM ", "SELECT … FROM ", self.sql)
        return f"{self.ms:9.1f} ms  {shortened} with {self.parameters}"


class Watch:
    """Writes down each statement: `with connection.execute_wrapper(watch): …`."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []

    def __call__(self, execute: Any, sql: str, parameters: Any, *rest: Any) -> Any:
        """Execute it."""
        began = perf_counter()
        try:
            return execute(sql, parameters, *rest)
        finally:
            ms = (perf_counter() - began) * 1000
            self.statements.append(Statement(sql=sql, parameters=parameters, ms=ms))

    def explained(self) -> str:
        """List the statements, and let the database explain the slowest."""
        slowest = max(self.statements, key=lambda statement: statement.ms)
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {slowest.sql}", slowest.parameters)
            plan = [f"    {line}" for (line,) in cursor.fetchall()]
        counted = f"{len(self.statements)} statements"
        return "\n".join([counted, *map(str, self.statements), f"the slowest, {slowest.ms:.1f} ms:", *plan])
