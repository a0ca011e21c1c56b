"""The pages: one file a page, each with a router; the app includes PAGES.

They read `app.state`: `store`, `clock` (a function that returns nanoseconds), `settings`, `slos` and `alerts`
(the loaded SLO files and alert settings), `book` (a function that returns the price book in force) and `refused` (rule
files that cannot be used, and why).
"""

from dashboards.pages import alerts, assets, cost, findings, overview, prices, quality, run, runs, settings, slos

PAGES = tuple(
    page.router for page in (assets, overview, runs, run, cost, prices, findings, slos, alerts, quality, settings)
)
