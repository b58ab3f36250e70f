def table(name, category):
    """A table as an output, with its place in the report of Snakemake."""
    return report(
        f"results/{{study}}/tables/{name}.csv",
        caption=f"../report/{name}_table.rst",
        category=category,
        labels={"table": name.replace("_", " ")},
    )
