"""Methods in prose: MD and its failures, committees, the melting point, and learning that chooses its own frames."""

from __future__ import annotations

from typing import Any

from longhot.config import MeltingPoint, Protocol, Study
from longhot.dynamics import detectors
from longhot.dynamics.barostat import MOVE_STEPS
from longhot.report.columns import STRATEGIES
from longhot.report.methods_fits import in_list, seeds
from longhot.report.methods_text import Topic
from longhot.report.statements import listed
from longhot.uncertainty.reweighting import MAX_VARIANCE, MIN_ESS

ENSEMBLES = {
    "nvt": "in the canonical ensemble, by Langevin dynamics of friction {friction:g} per ps (BAOAB splitting "
    "[@leimkuhler2013])",
    "nve": "in the microcanonical ensemble, by velocity Verlet",
    "npt": "at {pressure:g} bar, by Langevin dynamics of friction {friction:g} per ps (BAOAB splitting "
    "[@leimkuhler2013]) with a Monte Carlo barostat [@frenkel2002] that tries a move of the volume every {moves} steps",
}


def dynamics(study: Study) -> list[Topic]:
    """The MD protocol, what counts as failure, the recheck, and the statistics of survival and of orders."""
    asked = study.robustness
    if asked is None:
        return []
    protocol = asked.protocol
    control = (
        f"The same protocol was run by {asked.control}"
        if asked.control
        else "The reference itself ran the same protocol"
    )
    sizes = f"the fits to {in_list(asked.train_sizes)} frames ({seeds(asked.seeds)})"
    told = [
        f"Long and hot MD [@stocker2022] was run with {sizes} of {listed(study.picked('robustness', 'models'))}: "
        f"{_protocol(protocol)}. Starts are spread evenly over the test set {asked.start_set}, velocities are drawn "
        f"from the Maxwell-Boltzmann distribution. {control}, as the control. Frames are kept in "
        "H5MD files [@debuyl2014].",
        _failures(protocol),
    ]
    recheck = asked.recheck
    judged = (
        f"Of each trajectory {recheck.frames_per_replica} frames spread evenly in time, the last "
        f"{recheck.frames_before_failure} checks before a failure, and {recheck.frames_highest_spread} frames of the "
        "highest committee spread were computed again by the reference. The error in MD is over the first kind alone, "
        "for the others were picked for their errors."
    )
    statistics = [
        "Survival is the Kaplan-Meier estimate [@kaplan1958], trajectories that were cut off counting as censored, "
        "with the beta product interval [@fay2013]. The median has the interval of Brookmeyer and Crowley "
        "[@brookmeyer1982]. The failure rate",
        r"$$r = \frac{k}{\sum_j t_j}$$",
        "for $k$ failures in the simulated times $t_j$ of all trajectories has the exact Poisson interval "
        "[@garwood1936]. Groups are compared by log-rank tests [@mantel1966] by lifelines [@davidson2019], exact over "
        "all ways to part the trajectories where these are few enough; p-values are adjusted for their number "
        "[@holm1979]. Whether the order of fits by static error is that in use is told by Kendall's rank correlation "
        "[@kendall1938] with a bootstrap interval over the fits; that of frames by committee spread and by error has a "
        "jackknife interval over the trajectories [@long1997]. All intervals are at 95 %.",
    ]
    return [Topic("Molecular dynamics", told), Topic("Recheck", [judged]), Topic("Statistics", statistics)]


def _protocol(protocol: Protocol) -> str:
    ensemble = ENSEMBLES[protocol.ensemble].format(
        friction=protocol.friction_per_ps, pressure=protocol.pressure_bar, moves=MOVE_STEPS
    )
    return (
        f"{protocol.replicas} replicas of {protocol.duration_ps:g} ps at {in_list(protocol.temperatures_K, 'K')}, "
        f"{ensemble}, with a time step of {protocol.time_step_fs:g} fs, frames every {protocol.frame_interval_fs:g} fs"
    )


def _failures(protocol: Protocol) -> str:
    text = (
        f"Every {protocol.check_interval_fs:g} fs each replica was checked, and ended at its first failure: a number "
        f"that is not finite; two atoms closer than {detectors.OVERLAP:g} times the sum of their covalent radii "
        "[@cordero2008]; "
    )
    if protocol.bond_checks is not False:
        text += (
            "for molecules also "
            f"a bond of the start (two atoms within {detectors.BONDED:g} such sums) stretched beyond "
            f"{detectors.BROKEN:g}, or two atoms newly within {detectors.FORMED:g} ({detectors.FORMED_NEIGHBOURS:g} "
            "where they share a neighbour); "
        )
    text += (
        f"or a kinetic temperature that a canonical ensemble exceeds with a probability of "
        f"{detectors.HOT_PROBABILITY:g} and that is also {detectors.HOT_FACTOR:g} times the thermostat's"
    )
    if protocol.ensemble == "nve":
        text += f"; or a change of the total energy of more than {detectors.DRIFT_KT_PER_ATOM:g} kT an atom"
    return text + "."


def committees(study: Study) -> Topic | None:
    """Committees and their calibration, where a melting point asks for them."""
    asked = study.melting_point
    if asked is None:
        return None
    return Topic(
        "Committees and calibration",
        [
            f"Fits that differ in their seeds alone ({in_list(asked.seeds)}) form a committee of $M$ members $V_k$ "
            r"with the mean $\bar V$ and the standard deviation $\sigma$. The factor by which members have to be "
            "spread about their mean to match the errors on held-out frames [@musil2019, @imbalzano2021] is",
            r"$$\alpha^2 = -\frac{1}{M} + \frac{M-3}{M-1} \left\langle \frac{(y-\bar V)^2}{\sigma^2} \right\rangle$$",
            f"for one component; where a spread pools components, $M-1$ is multiplied by their number. It was checked "
            f"on {asked.n_md_calibration} frames of the sampler's own runs. Scores are the negative log likelihood, "
            "the continuous ranked probability score [@gneiting2007], the miscalibration area by the uncertainty "
            "toolbox [@chung2021], and the expected normalised calibration error [@levi2022].",
        ],
    )


def melting_point(study: Study) -> Topic | None:
    """Bulk runs, interface pinning, Gibbs-Helmholtz, coexistence, reweighting and staged integration."""
    asked = study.melting_point
    if asked is None:
        return None
    sampler = (
        "The dataset's reference sampled" if asked.sampler == "reference" else "The mean of each committee sampled"
    )
    bulk, pinning = asked.bulk, asked.pinning
    paragraphs = [
        f"{sampler} ice and liquid at {in_list(bulk.temperatures_K, 'K')} and {asked.pressure_bar:g} bar, in cells of "
        f"{in_list(bulk.repeats)} times 8 molecules: {bulk.equilibration_ps:g} ps thrown away, {bulk.duration_ps:g} ps "
        f"kept, a frame every {bulk.frame_interval_ps:g} ps, time step {asked.time_step_fs:g} fs. Errors of averages "
        "count the frames divided by their statistical inefficiency [@chodera2007]; a phase that was no longer the one "
        "it began as, by the share of crystalline molecules (CHILL+ [@moore2010, @nguyen2015]), is not valid.",
        f"Interface pinning [@pedersen2013pinning, @pedersen2013direct] at {in_list(pinning.temperatures_K, 'K')}, in "
        f"{_cells(pinning.cells)}, {pinning.duration_ps:g} ps after {pinning.equilibration_ps:g} ps: a half-solid, "
        "half-liquid cell of fixed cross-section feels the bias",
        r"$$U = \frac{\kappa}{2} (Q - a)^2, \qquad Q = \frac{1}{\sqrt N} \left| \sum_j e^{i \mathbf{k} \cdot "
        r"\mathbf{r}_j} \right|, \qquad N (\mu_s - \mu_l) = -\kappa (Q_s - Q_l) (\langle Q \rangle - a)$$",
        f"with $\\kappa$ = {pinning.kappa_eV:g} eV and the order parameters $Q_s$ and $Q_l$ of the whole phases in the "
        "same cell. With $\\Delta h$ from the bulk runs it is carried over the temperature by the Gibbs-Helmholtz "
        "equation, and the melting point is where it vanishes:",
        r"$$\frac{d(\Delta\mu / T)}{dT} = -\frac{\Delta h}{T^2}, \qquad \Delta\mu(T_m) = 0$$",
    ]
    if asked.coexistence is not None:
        paragraphs.append(
            f"As an independent check, ice and liquid stood side by side at constant enthalpy for "
            f"{asked.coexistence.duration_ps:g} ps after {asked.coexistence.equilibration_ps:g} ps; the mean "
            "temperature is the melting point."
        )
    paragraphs += _reweighting(asked)
    return Topic("Melting point", paragraphs)


def _cells(cells: list[list[int]]) -> str:
    return listed([f"{'×'.join(str(one) for one in cell)} cells of 8 molecules" for cell in cells])


def _reweighting(asked: MeltingPoint) -> list[str]:
    text = (
        f"Direct weights were used where their effective sample is at least {MIN_ESS:g} of the independent frames, the "
        f"second-order expansion where $h$ is Gaussian with a variance of at most {MAX_VARIANCE:g}. "
    )
    if asked.staging is not None:
        text += (
            "Elsewhere both phases were run under $(1-\\lambda) V_0 + \\lambda V_k$ with $\\lambda$ = "
            f"{in_list(asked.staging.lambdas)} ({asked.staging.duration_ps:g} ps each), and the windows combined by "
            "MBAR [@shirts2008]. "
        )
    text += "What these guards refuse has no number. "
    if asked.member_pinning is not None:
        text += "Some members ran a pinned interface of their own, as a check of the reweighting. "
    text += (
        "The error budget has the calibrated spread over the members, the error of the mean of few members, the "
        "reweighting, the pinned run, and the distance of the coexistence check and of other cell sizes."
    )
    return [
        "The frames were reweighted to each member [@imbalzano2021, @ceriotti2012]. With $h_k = \\beta (V_k - V_0)$ "
        "the free energy of a phase changes by",
        r"$$F_k - F_0 = -k_B T \ln \langle e^{-h_k} \rangle_0 \approx \langle V_k - V_0 \rangle_0 - \frac{\beta}{2} "
        r"\mathrm{var}_0 (V_k - V_0)$$",
        text.strip(),
    ]


def active_learning(study: Study) -> Topic | None:
    """Rounds at equal label budgets, and learning on the fly."""
    asked = study.active_learning
    if asked is None:
        return None
    chosen = listed([STRATEGIES[one] for one in asked.strategies])
    members = f"committees of {asked.members}" if asked.members > 1 else "one fit, which knows its own error"
    paragraphs = [
        f"Offline active learning, in the manner of DP-GEN [@zhang2020]: {members}, {asked.initial_frames} "
        f"initial frames, {asked.rounds} rounds of {asked.frames_per_round} labels, {seeds(asked.seeds)}. In "
        f"each round the first member ran MD ({_protocol(asked.protocol)}), and frames of it were chosen by {chosen}"
        f"{_soap(asked.strategies)}, labelled, and added to the training set. Strategies are compared at equal numbers "
        f"of labels by paired t-tests over the seeds; p-values are adjusted for their number [@holm1979]. "
        f"{asked.evaluation_frames} further frames of each round were labelled to judge it, outside the budget."
    ]
    if asked.online is not None:
        online = asked.online
        adaptive = ", which followed the ratio of true to estimated errors at earlier calls" if online.adaptive else ""
        paragraphs.append(
            f"Learning on the fly [@csanyi2004, @jinnouchi2019, @vandermause2020]: a run of {online.duration_ps:g} ps "
            f"at {online.temperature_K:g} K asked the reference where the uncertainty of the force on any atom passed "
            f"{online.threshold_meV_per_A:g} meV/Å{adaptive}, and learned each answer. Every "
            f"{online.audit_interval_steps} steps a frame was labelled for the record alone."
        )
    return Topic("Active learning", paragraphs)


def _soap(strategies: list[Any]) -> str:
    if not {"diverse", "uncertain_diverse"} & set(strategies):
        return ""
    return " (farthest points among SOAP vectors [@bartok2013] by DScribe [@himanen2020])"


def structure_search(study: Study) -> Topic | None:
    """Minima hopping with a potential that learns its minima."""
    asked = study.structure_search
    if asked is None:
        return None
    return Topic(
        "Structure search",
        [
            f"Minima hopping [@goedecker2004] as ASE implements it [@larsen2017], {asked.n_hops} hops in each of at "
            f"most {asked.rounds} rounds, beginning at {asked.temperature_K:g} K, with {asked.model} and, beside it, "
            f"with the reference. Two structures are one where their energies differ by less than "
            f"{asked.energy_tolerance_meV:g} meV and their sorted interatomic distances by less than "
            f"{asked.distance_tolerance_A:g} Å. After each round the minima were labelled and learnt; seeds "
            f"{in_list(asked.seeds)}."
        ],
    )
