"""Shows and serves: command line, HTTP API and pages. Reads only through analytics.reports."""
