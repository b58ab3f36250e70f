# Around all jobs: one run of a study at a time, a clean end on Ctrl-C and SIGTERM, and a word on jobs that were killed.
# How long one calculation of a reference may take; every job inherits it.
os.environ[TIME_LIMIT_S] = str(STUDY.study.reference_time_limit_s)

if workflow.is_main_process:
    try:
        RUN = Run(Path(".snakemake"), NAME)
    except InputError as error:
        raise WorkflowError(str(error))


onstart:
    # With its limit of 100 jobs a second Snakemake looks for new jobs once a second for each job that has ended: over a
    # hundred jobs that took 4 % of all core time, and it grows with their square.
    workflow.scheduler.job_rate_limiter = None
    try:
        RUN.begin()
    except InputError as error:
        raise WorkflowError(str(error))


onerror:
    print(*RUN.killed(), sep="\n", file=sys.stderr)
