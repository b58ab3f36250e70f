"""How far a model can be trusted where there is no reference: committees."""
