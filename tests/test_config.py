"""Sweep configs: what is read, and every refusal with the nearest legal word."""

from pathlib import Path

import pytest

from poolsearch.config import SweepConfig, load, parse, to_toml
from poolsearch.errors import ConfigError, PoolsearchError
from poolsearch.sweep.search.space import space_of

CONFIGS = sorted((Path(__file__).parents[1] / "experiments" / "configs").glob("*.toml"))
SHORT = 'study = "a"\nbackbone = "smallnet/1x20x20"\n'


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_here_opens_and_has_plans_to_try(path):
    config = load(path)
    assert space_of(config).n_plans >= config.trials
    assert path.read_text().startswith("# Question:")


def test_a_site_takes_what_it_leaves_out_from_the_whole_space():
    config = parse(SHORT + "[space]\nkernel = 3\n[space.stage1]\nstride = 2\n")
    assert config.space.kernel == (3,)
    assert config.space.sites["stage1"].stride == (2,)
    assert config.space.sites["stage1"].kernel is None
    choices = {name: set(c) for name, c, _ in space_of(config).sites}
    assert ("max", 3, 1) in choices["stage2"]
    assert ("max", 3, 1) not in choices["stage1"]


def test_a_config_survives_its_own_text():
    config = parse(SHORT + "[space]\nkinds = ['max', 'blur']\n[space.stage1]\nstride = [2]\n[training]\nrate = 0.05\n")
    assert parse(to_toml(config)) == config
    assert "clip = 1.0" in to_toml(config)  # written out, though it is the default: a stored recipe stays what it was


def test_settings_on_the_command_line_come_last():
    config = parse(SHORT, ("training.epochs=7", "trials=9", "study=other", 'space.kinds=["max", "avg"]'))
    assert (config.training.epochs, config.trials, config.study) == (7, 9, "other")
    assert config.space.kinds == ("max", "avg")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("trails = 3", "Unknown key 'trails' in 'the config'. Did you mean 'trials'? Possible: study, backbone,"),
        ("[space]\nkernal = [2]", "Unknown key 'kernal' in '[space]'. Did you mean 'kernel'? Possible: kinds, kernel,"),
        ("[space.stage1]\nstrid = [2]", "Unknown key 'strid' in '[space.stage1]'. Did you mean 'stride'?"),
        ("[training]\nepoch = 2", "Unknown key 'epoch' in '[training]'. Did you mean 'epochs'?"),
        ("[space]\nkinds = ['maxx']", "Unknown pooling 'maxx'. Did you mean 'max'?"),
        ("[space]\nkernel = [0]", "space.kernel in the config: input should be greater than or equal to 1, got 0."),
        ("trials = 0", "trials in the config: input should be greater than or equal to 1, got 0."),
        ("trials = 'many'", "trials in the config: input should be a valid integer"),
        ("objectives = ['accuracy', 'loss']", "Objectives are one of accuracy or loss, and"),
        ("objectives = ['speed', 'loss']", "objectives in the config: input should be 'accuracy', 'loss'"),
        ("trials = [", "The config is not TOML:"),
    ],
)
def test_a_refused_config_says_what_is_possible(more, message):
    with pytest.raises(ConfigError) as refused:
        parse(SHORT + more)
    assert message in str(refused.value)


BIG, DEEP = "9" * 5000, "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("trials = true", "trials in the config: input should be a valid integer, got True."),
        ("trials = '24'", "trials in the config: input should be a valid integer, got '24'."),
        ("trials = 24.0", "trials in the config: input should be a valid integer, got 24.0."),
        ("[training]\nrate = true", "training.rate in the config: input should be a valid number, got True."),
        ("[training]\nrate = '0.1'", "training.rate in the config: input should be a valid number, got '0.1'."),
        ("[space]\nkernel = [true]", "space.kernel in the config: input should be a valid integer, got True."),
        ("[space]\nkernel = '2,3'", "got '2,3'. Write it as in kernel = [2, 3]."),
        ("seed = 4294967296", "seed in the config: input should be less than 4294967296, got 4294967296."),
        ("minutes = 1e999", "minutes in the config: input should be a finite number, got inf."),
        (f"[limits]\nfree_mb = {BIG[:400]}", "limits.free_mb in the config: input should be less than or equal to"),
        (f"trials = {BIG}", "The config is not TOML: a number in it has more than 4,300 digits."),
        ("trials = 0x" + "f" * 5000, "less than or equal to 100000, got a number of thousands of digits."),
        (f"[space]\nkernel = {DEEP}", "The config is nested too deeply: it has sections in [space]"),
        ("[space]\n" + "a." * 5000 + "b = 1", "Unknown key 'a' in '[space.a]'. Possible: kinds, kernel, stride."),
        ("[space]\nsites = 3", "space in the config: input should be a valid dictionary, got 3."),
    ],
)
def test_a_value_is_of_its_own_type_and_size_or_refused(more, message):
    with pytest.raises(ConfigError) as refused:
        parse(SHORT + more)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[training]\nlr = 0.1", "Unknown key 'lr' in '[training]'. Here it is 'rate'. Possible: epochs, batch, rate,"),
        ("lr = 0.1", "'lr' can't stand at the top of the config: it is called 'rate' here, and a key of [training]."),
        ("batch_size = 8", "it is called 'batch' here, and a key of [training] or [latency]."),
        ("n_trials = 8", "Unknown key 'n_trials' in 'the config'. Here it is 'trials'."),
        ("[space]\ntrials = 5", "'trials' can't stand in [space]: it is a key of the top of the config, above all"),
        ("epochs = 3", "'epochs' can't stand at the top of the config: it is a key of [training]."),
        ("[space.stage1]\nepochs = 3", "'epochs' can't stand in [space.stage1]: it is a key of [training]."),
        ("[space.stage1]\nkernel_size = 3", "Unknown key 'kernel_size' in '[space.stage1]'. Here it is 'kernel'."),
        ("[Training]\nepochs = 3", "Unknown key 'Training' in 'the config'. Here it is 'training'."),
        ("[space]\nkinds = ['MaxPool2d']", "Unknown pooling 'MaxPool2d'. Did you mean 'max'?"),
        ("[space]\nkinds = ['torch.nn.LPPool2d']", "Unknown pooling 'torch.nn.LPPool2d'. Did you mean 'lp'?"),
        ("[space]\nkinds = ['AveragePooling2D']", "Unknown pooling 'AveragePooling2D'. Did you mean 'avg'?"),
        ("[space]\nkinds = ['Conv2d']", "Unknown pooling 'Conv2d'. Did you mean 'conv'?"),
        ("[space]\nkinds = 'max, avg'", 'several poolings in one text. Write a list: kinds = ["max", "avg"].'),
        ("objectives = 'accuracy'", 'got accuracy. Write it as in objectives = ["accuracy", "latency_ms"].'),
        ("objectives = ['acc', 'latency_ms']", "got 'acc'. Did you mean 'accuracy'?"),
        ("[training]\nprecision = 'fp16'", "got 'fp16'. Did you mean 'bfloat16'?"),
        (
            "[space]\nkernel = {low = 2, high = 5}",
            "There are no ranges: write the values, as in kernel = [2, 3, 4, 5].",
        ),
        ("[space.kernel]\nlow = 2\nhigh = 3", "There are no ranges: write the values, as in kernel = [2, 3]."),
        ("training = 5", "[training] in the config is a section with keys of its own, got 5."),
        ("[[space.stage1]]\nstride = [2]", "[space.stage1] in the config is a section with keys of its own, got [{"),
    ],
)
def test_who_comes_from_elsewhere_is_told_our_word_and_its_place(more, message):
    with pytest.raises(ConfigError) as refused:
        parse(SHORT + more)
    assert message in str(refused.value)


def test_a_plan_as_backbone_is_refused_for_its_change_would_be_dropped():
    with pytest.raises(ConfigError) as refused:
        parse('study = "a"\nbackbone = "resnet18/3x64x64: stem=avg k2 s2"')
    assert str(refused.value) == (
        "The backbone 'resnet18/3x64x64: stem=avg k2 s2' is a Plan with changes; a sweep starts from the published "
        'network. Write backbone = "resnet18/3x64x64", and what may stand at a site in [space.SITE]. (line 2)'
    )


def test_a_config_is_read_as_editors_write_it(tmp_path):
    path = tmp_path / "a.toml"
    for start, encoding in (("\ufeff", "utf-8"), ("", "utf-8")):
        path.write_bytes((start + SHORT.replace("\n", "\r\n")).encode(encoding))
        assert load(path).study == "a"
    path.write_text(SHORT, encoding="utf-16")
    with pytest.raises(ConfigError, match=r"not a text in UTF-8. It is UTF-16. Save it as UTF-8."):
        load(path)
    path.write_bytes(SHORT.encode() + b"#" * 1_000_000)
    with pytest.raises(ConfigError, match="a config has 1,000 kB at most"):
        load(path)


def test_a_setting_that_is_a_text_stays_one_whatever_it_looks_like():
    for name in ("2024", "true", "nan", "1979-05-27", "1e5"):
        assert parse(SHORT, (f"study={name}",)).study == name
    assert parse(SHORT, ("study='quoted'",)).study == "quoted"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[space.stge1]\nstride = [2]", "Unknown site 'stge1' in '[space]'. Did you mean 'stage1'?"),
        ("data = 'digitz'", "Unknown data set 'digitz'. Did you mean 'digits'?"),
        ("[space]\nkinds = ['global-avg']", "'global-avg' can't stand at site 'stage1' of the config. Possible: max,"),
        ("[space]\nkinds = ['max']\nkernel = [2]\nstride = [2]", "The space holds one Plan only."),
        ("[space]\nkinds = ['max', 'avg']\nkernel = [2]\nstride = [30]", "No Plan of the space fits the maps: Site"),
    ],
)
def test_a_space_that_cannot_be_is_refused_before_any_work(more, message):
    with pytest.raises(PoolsearchError) as refused:
        space_of(parse(SHORT + more))
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["", "../up", "a" * 65, "<b>", "🦊", ".hidden", "a.", "a‮b", "á" * 33 + "​"])
def test_a_name_that_could_leave_the_runs_folder_is_refused(name):
    with pytest.raises(ConfigError, match="is not possible. Take 1 to 64 letters of any script"):
        parse(f"study = '{name}'\nbackbone = 'smallnet/1x20x20'")


def test_a_missing_file_and_a_missing_key_are_said():
    with pytest.raises(ConfigError, match=r"Can't read the config 'nowhere.toml': No such file"):
        load("nowhere.toml")
    with pytest.raises(ConfigError, match="The key 'backbone' is missing in the config."):
        parse("study = 'a'")
    with pytest.raises(ConfigError, match="'--set epochs' is no setting"):
        parse(SHORT, ("epochs",))


def test_defaults_are_those_of_the_default_sweep():
    config = SweepConfig(study="a", backbone="smallnet/1x20x20")
    assert (config.trials, config.training.epochs, config.training.batch) == (24, 3, 128)


WHOLE = """\
study = "a"
backbone = "smallnet/1x20x20"
data = "digits"
trials = 12
seed = 3
objectives = ["accuracy", "latency_ms"]

[space]
kinds = ["max", "avg"]
kernel = [2, 3]
stride = [2]

[space.stage1]
stride = [2]

[training]
epochs = 2
batch = 64

[latency]
calls = 9
"""
MUTATIONS = [  # what is written instead of what, and the line that the refusal names
    ("stuudy =", "study =", 1),
    ("backbon =", "backbone =", 2),
    ("dat =", "data =", 3),
    ("trails =", "trials =", 4),
    ("sed =", "seed =", 5),
    ("objective =", "objectives =", 6),
    ("[spce]", "[space]", None),
    ("kind =", "kinds =", 9),
    ("kernal =", "kernel =", 10),
    ("strid =", "stride =", 11),
    ("[trainig]", "[training]", None),
    ("epoch =", "epochs =", 17),
    ("batchs =", "batch =", 18),
    ("call =", "calls =", 21),
    ('"maxx"', '"max"', 9),
    ('"vag"', '"avg"', 9),
    ("[]", '["max", "avg"]', 9),
    ("[0, 3]", "[2, 3]", 10),
    ("[2, 65]", "[2, 3]", 10),
    ('["two"]', "[2, 3]", 10),
    ("[2.5]", "[2, 3]", 10),
    ("trials = 0", "trials = 12", 4),
    ("trials = -1", "trials = 12", 4),
    ('trials = "many"', "trials = 12", 4),
    ("seed = -1", "seed = 3", 5),
    ("minutes = 0", "seed = 3", 5),
    ("epochs = 0", "epochs = 2", 17),
    ("batch = 1", "batch = 64", 18),
    ("calls = 1", "calls = 9", 21),
    ('["accuracy"]', '["accuracy", "latency_ms"]', 6),
    ('"smalnet/1x20x20"', '"smallnet/1x20x20"', None),
    ('"digit"', '"digits"', None),
    ("[space.stage9]", "[space.stage1]", None),
    ('"../up"', '"a"', 1),
    ('"a\\u0000b"', '"a"', 1),
]


@pytest.mark.parametrize(("wrong", "right", "line"), MUTATIONS)
def test_every_mutated_config_is_refused_before_any_trial_and_the_line_is_named(wrong, right, line):
    assert right in WHOLE
    with pytest.raises(PoolsearchError) as refused:
        space_of(parse(WHOLE.replace(right, wrong, 1)))
    assert line is None or str(refused.value).endswith(f"(line {line})"), refused.value
    assert "\n" not in str(refused.value)


def test_the_config_that_is_mutated_is_right():
    assert space_of(parse(WHOLE)).n_plans > 1
