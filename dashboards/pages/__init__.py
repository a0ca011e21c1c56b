"""The pages: one file a page, each with a router; the app includes PAGES."""

from dashboards.pages import assets, cost, findings, overview, run, runs

PAGES = tuple(page.router for page in (assets, overview, runs, run, cost, findings))
