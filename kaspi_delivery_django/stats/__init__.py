"""Statistics of the tables: for the dashboard, the report, the doctor and Prometheus."""
