"""What language models cost: prices, the ledger of their calls, budgets, and what is reported of them."""
