"""The pages: one file a page, each with a router; the app includes PAGES."""

from dashboards.pages import assets, overview

PAGES = (assets.router, overview.router)
