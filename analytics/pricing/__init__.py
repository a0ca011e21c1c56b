"""Money: what a call cost by the price book of its own time, exact to 10^-12 USD.

`book` finds the price of a call: in the user's price files (`entries`), else in the list prices of genai-prices
(`listing`), after `providers` has told whom the emitter means. `charge` multiplies whole frames. Days and times are
UTC.
"""

from analytics.pricing.book import PriceBook
from analytics.pricing.charge import price_calls, price_tools
from analytics.pricing.entries import PriceFileError, load_overrides

__all__ = ["PriceBook", "PriceFileError", "load_overrides", "price_calls", "price_tools"]
