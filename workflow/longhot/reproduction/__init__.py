"""A study against another one: archives, comparisons within error bars, and whether it can be made again."""
