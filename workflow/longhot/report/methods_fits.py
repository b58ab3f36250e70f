"""Methods in prose: data, reference methods, models and learning curves, as the config asks for them."""

from __future__ import annotations

from typing import Any

from longhot.config import Study
from longhot.learning.subsets import SOAP_CUTOFF_A
from longhot.report.methods_text import Topic
from longhot.report.statements import listed

Card = dict[str, Any]

TOLD_ELSEWHERE = ("mace", "gp", "nonml")
"""Families that have a text of their own."""


def in_list(values: Any, unit: str = "") -> str:
    """Numbers or names as ``300, 500 and 1000 K``."""
    text = listed([f"{one:g}".replace("-", "−") if isinstance(one, float | int) else str(one) for one in values])
    return f"{text} {unit}".strip()


def given(text: str) -> str:
    """A text of the user's, without the signs that stand for formulas and citations here."""
    return text.replace("$", "").replace("[@", "[ @")


def seeds(values: list[int]) -> str:
    """``seed 0`` or ``seeds 0 and 1``."""
    return f"seed{'s' if len(values) > 1 else ''} {in_list(values)}"


def data(study: Study, cards: dict[str, Card]) -> Topic:
    """Where each dataset comes from, how it was made, and what it holds.

    Args:
        study: the config.
        cards: card.json of each dataset by name.
    """
    paragraphs = []
    for name, block in study.datasets.items():
        if name in cards:
            card = cards[name] | {"level_of_theory": given(cards[name]["level_of_theory"])}
            source = _SOURCES.get(block.source, _other)(block, card)
            text = f"{source} {_sets(card)} {_isolated(card)}"
            paragraphs.append(f"Dataset {name} ({card.get('formula') or 'several molecules'}). {text}")
    paragraphs.append(
        "All frames were checked for missing, duplicate and inconsistent labels before use. Energies are in eV, forces "
        "in eV/Å; files are extended XYZ as the Atomic Simulation Environment writes them [@larsen2017]."
    )
    return Topic("Data", paragraphs)


def _sets(card: Card) -> str:
    sizes = [f"{one['n_frames']} in {name}" for name, one in card["sets"].items()]
    return f"Frames: {listed(sizes)}."


def _isolated(card: Card) -> str:
    return f"Energies of isolated atoms, which all fits subtract: {card['isolated_atoms']['origin']}."


def _generated(block: Any, card: Card) -> str:
    if block.smiles is not None:
        start = "The molecule was embedded from its SMILES string by RDKit [@rdkit]"
    elif block.molecule is not None:
        start = "The structure was taken from the G2 set [@curtiss1991] as ASE holds it"
    else:
        start = "The structure was read from a file"
    text = (
        f"{start} and relaxed with the reference. Frames were sampled by Langevin dynamics (BAOAB splitting "
        f"[@leimkuhler2013]) with {card['level_of_theory']} at {in_list(block.temperatures_K, 'K')}, with a time step "
        f"of {block.time_step_fs:g} fs, a friction of {block.friction_per_ps:g} per ps, the first "
        f"{block.equilibration_fs:g} fs thrown away, and a frame every {block.sample_interval_fs:g} fs. Training pool, "
        "validation and test frames come from separate trajectories."
    )
    if block.n_test_hot:
        text += f" The test set test_hot was sampled at {in_list(block.hot_temperatures_K, 'K')}."
    if block.n_normal_modes:
        text += (
            f" {block.n_normal_modes} frames of the pool are displacements along the normal modes, as classical "
            f"harmonic vibrations would have at {block.normal_mode_temperature_K:g} K."
        )
    return text


def _ice(block: Any, card: Card) -> str:
    what = "one site a molecule" if block.molecule == "site" else "proton-disordered molecules [@matsumoto2021]"
    return (
        f"Ice Ih and liquid water, {what}, in cells of {in_list(block.repeats)} times 8 molecules along c, a and √3 a, "
        f"were sampled at constant volume by Langevin dynamics (BAOAB splitting [@leimkuhler2013]) with "
        f"{card['level_of_theory']}: ice at {in_list(block.solid_temperatures_K, 'K')}, liquid (ice melted at "
        f"{block.melt_temperature_K:g} K) at {in_list(block.liquid_temperatures_K, 'K')}, at volumes strained by "
        f"{in_list(block.volume_strains)}; time step {block.time_step_fs:g} fs, friction {block.friction_per_ps:g} per "
        f"ps, a frame every {block.sample_interval_fs:g} fs."
    )


def _own(block: Any, card: Card) -> str:
    return f"Labelled frames given by the user, at the level of theory {card['level_of_theory']}."


def _rmd17(block: Any, card: Card) -> str:
    return f"Frames of rMD17 [@christensen2020], at the level of theory {card['level_of_theory']}, drawn at random."


def _qm7x(block: Any, card: Card) -> str:
    return (
        f"Molecules of QM7-X [@hoja2021], at the level of theory {card['level_of_theory']}; pool, validation and test "
        f"sets were split by {block.split}."
    )


def _other(block: Any, card: Card) -> str:
    return f"Frames of the source {block.source}, at the level of theory {card['level_of_theory']}."


_SOURCES = {"generate": _generated, "ice": _ice, "extxyz": _own, "rmd17": _rmd17, "qm7x": _qm7x}


def references(study: Study) -> Topic:
    """The reference methods that label, sample, control or recheck, and the cheap ones that stand as baselines."""
    used = dict.fromkeys(name for block in study.datasets.values() if (name := block.reference) is not None)
    robustness = study.robustness
    if robustness is not None:
        used |= dict.fromkeys(filter(None, (robustness.control, robustness.recheck.reference)))
    paragraphs = [f"Reference {name}: {reference(study.references[name])}" for name in used]
    for model, block in study.variants().items():
        if block.family == "nonml":
            text = reference(block.reference_method)
            paragraphs.append(
                f"Baseline {model}, a cheaper physical method that learns nothing but one energy shift an element, by "
                f"least squares over the training frames: {text}"
            )
    if not paragraphs:
        paragraphs = ["No reference method was run: all labels came with the data."]
    return Topic("Reference methods", paragraphs)


def reference(block: Any) -> str:
    """What one reference block computes, with its codes and methods cited."""
    from longhot.references import level_of_theory

    match block.method:
        case "xtb" | "tblite":
            method = "[@bannwarth2019]" if block.hamiltonian == "GFN2-xTB" else "[@grimme2017]"
            code = "the library of the xtb program [@bannwarth2021]" if block.method == "xtb" else "tblite [@tblite]"
            return (
                f"{block.hamiltonian} {method} by {code}, accuracy {block.accuracy:g}, electronic temperature "
                f"{block.electronic_temperature_K:g} K, charge {block.charge}, multiplicity {block.multiplicity}."
            )
        case "pyscf":
            text = f"{block.xc.upper()}/{block.basis} by PySCF [@sun2020] with Libxc [@lehtola2018]"
            text += f", grid level {block.grid_level}, SCF converged to {block.conv_tol_hartree:g} Hartree"
            text += ", with density fitting" if block.density_fit else ""
            if block.xc.lower() == "pbe":
                text += "; the functional is PBE [@perdew1996]"
            if block.basis.lower().startswith("def2"):
                text += "; the basis set is of the def2 family [@weigend2005]"
            if block.dispersion == "d4":
                text += "; dispersion by DFT-D4 [@caldeweyher2019]"
            return text + "."
        case "lammps":
            if block.pair_style is None:
                return (
                    "the mW model of water [@molinero2009], a Stillinger-Weber potential [@stillinger1985] of one site "
                    "a molecule, by LAMMPS [@thompson2022]."
                )
            return f"the pair style {given(block.pair_style)} of LAMMPS [@thompson2022]."
    return f"{given(level_of_theory(block))}, through its calculator in ASE [@larsen2017]."


def models(study: Study) -> Topic:
    """Each family that was fitted, with what its variants share and differ in."""
    paragraphs: list[str] = []
    networks = [(name, block) for name, block in study.models.items() if block.family == "mace"]
    if networks:
        paragraphs += _mace(networks)
    processes = [(name, block) for name, block in study.models.items() if block.family == "gp"]
    if processes:
        paragraphs += [
            "Gaussian processes: local energies are a sparse Gaussian process over SOAP vectors [@bartok2013] as "
            "DScribe computes them [@himanen2020], trained on total energies and forces in the manner of Gaussian "
            "approximation potentials [@bartok2015], with inducing environments treated as in the deterministic "
            f"training conditional [@quinonero2005]. {'; '.join(_gp(name, block) for name, block in processes)}."
        ]
    for name, block in study.models.items():
        if block.family == "reference":
            paragraphs.append(f"Model {name} is a method that learns nothing here: {reference(block.reference_method)}")
        elif block.family not in TOLD_ELSEWHERE:
            settings = ", ".join(f"{key} {value}" for key, value in block.model_dump(mode="json").items())
            paragraphs.append(f"Block {name}, with the settings: {given(settings)}.")
    return Topic("Models", paragraphs or ["No model was fitted; see the baselines."])


def _gp(name: str, block: Any) -> str:
    return (
        f"{name}: cutoff {block.r_max_A:g} Å, {block.n_max} radial functions, angular order {block.l_max}, kernel "
        f"exponent {block.zeta}, at most {block.n_sparse} inducing environments"
    )


def _mace(networks: list[tuple[str, Any]]) -> list[str]:
    optimisers = {block.optimiser for _, block in networks}
    decoupled = " [@loshchilov2019]" if optimisers == {"adamw"} else ""
    named = listed([{"adam": "Adam", "adamw": "AdamW"}[one] for one in sorted(optimisers)])
    paragraphs = [
        "MACE models [@batatia2022] were built by mace-torch on e3nn [@geiger2022] and fitted in PyTorch [@paszke2019] "
        f"by {named}{decoupled} with AMSGrad [@kingma2015, @reddi2018], to the loss",
        r"$$\mathcal{L} = w_E \left\langle \left( \frac{\Delta E}{n} \right)^2 \right\rangle + w_F \left\langle "
        r"\Delta F_{i\alpha}^2 \right\rangle$$",
        "over batches of frames, with the errors of the energy $\\Delta E$ of a frame of $n$ atoms and of each force "
        "component $\\Delta F_{i\\alpha}$. Weights were averaged exponentially over the steps, and those of the "
        "smallest validation error were kept. A fit whose validation error still fell by more than 3 % over the last "
        "fifth of its steps is marked as not converged.",
    ]
    for name, block in networks:
        variants = list(block.variants(name))
        swept = f" (models {listed(variants)}; L is the highest order of the messages, ν the correlation)"
        length = f"{block.gradient_steps} gradient steps" if block.gradient_steps else f"{block.epochs} epochs"
        order = "" if block.sweep else f"messages of order up to {block.max_L}, correlation {block.correlation}, "
        layers = "1 layer" if block.layers == 1 else f"{block.layers} layers"
        paragraphs.append(
            f"Block {name}{swept if len(variants) > 1 else ''}: {layers}, {order}{block.channels} "
            f"channels, spherical harmonics up to order {block.max_ell}, cutoff {block.r_max_A:g} Å, "
            f"{block.n_radial_basis} {block.radial_type.capitalize()} radial functions, radial network "
            f"{'-'.join(str(width) for width in block.radial_mlp)}; {length} of batches of {block.batch_size}, initial "
            f"learning rate {block.learning_rate:g} ({block.schedule}), $w_E$ = {block.energy_weight:g} per eV², $w_F$ "
            f"= {block.forces_weight:g} Å²/eV², weight decay {block.weight_decay:g}, {block.dtype}."
        )
    return paragraphs


def learning_curves(study: Study) -> Topic | None:
    """Subsets, errors, slopes and the data that a tolerance asks for."""
    curves = study.learning_curves
    if curves is None:
        return None
    subsets = "at random"
    if curves.subset == "farthest_point":
        subsets = (
            f"by farthest points among SOAP vectors [@bartok2013] of a cutoff of {SOAP_CUTOFF_A:g} Å, averaged over "
            "the atoms, by DScribe [@himanen2020]"
        )
    paragraphs = [
        f"Training sets of {in_list(curves.train_sizes)} frames were drawn {subsets}, the smaller within the larger, "
        f"for {seeds(curves.seeds)}, each with initial weights of its own, as learning curves are asked "
        "for in science-driven machine learning [@margraf2023]. Force errors are means over all Cartesian components "
        "of all frames of a test set, energy errors are per atom. Slopes $s$ are of the least-squares fit",
        r"$$\log_{10} \mathrm{MAE} = a + s \log_{10} N$$",
        "over all training sizes $N$ and seeds. Their 95 % intervals are Student's over the slopes of the seeds, or, "
        "of one or two seeds, over the points, which scatter as errors of nested subsets do.",
    ]
    if _asks_for_data(study):
        paragraphs[-1] += (
            " The number of frames that a tolerance asks for solves this line, through the means over seeds, for $N$; "
            "its 95 % interval is Fieller's [@fieller1954] with the scatter of the $n$ training sizes about the line "
            "and $n-2$ degrees of freedom, plus the scatter of the seeds' whole curves. It is not given where that "
            "interval has no end, which is where the slope does not differ from 0 beyond chance."
        )
    return Topic("Learning curves", paragraphs)


def data_map() -> Topic:
    """The map of frames, which every study has."""
    return Topic(
        "Map of the data",
        [
            "Frames are compared by a kernel of their SOAP vectors [@bartok2013], averaged over the atoms, by DScribe "
            "[@himanen2020]. The map is the plane in which the training frames spread most by kernel principal "
            "components [@scholkopf1998]."
        ],
    )


def _asks_for_data(study: Study) -> bool:
    limits = [study.report.limits(name) for name in study.picked("learning_curves", "datasets")]
    return any(one[key] for one in limits for key in ("force_mae_meV_per_A", "hot_force_mae_meV_per_A"))
