"""What stands in the tables, in figures: for the dashboard, for reports and for monitoring.

Everything here reads, and reads a bounded number of rows, so that a page costs the same with a million
deliveries as with a thousand.
"""
