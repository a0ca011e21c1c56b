"""Money: what a call cost by the price book of its own time, exact to 10^-12 USD.

`PriceBook` (book) finds the price of a call: `entries` are the user's price files, `listing` the list prices of
genai-prices, `providers` the names that emitters give providers. `charge` multiplies whole frames. All days and
times are UTC.
"""
