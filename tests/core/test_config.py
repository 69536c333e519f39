from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.config import Config, project_root, resolve
from vadkit.core.errors import ConfigError
from vadkit.core.parameters import load_params, make_config, parameters_cell, parse_override


def refused(**values) -> str:
    with pytest.raises(ConfigError) as caught:
        make_config(values)
    return str(caught.value)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "some.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_defaults_are_valid_and_frozen():
    config = make_config({})
    assert config == Config()
    with pytest.raises(Exception, match="frozen"):
        config.seeds = [1]


def test_unknown_name_gets_the_nearest_known_one():
    assert "did you mean 'batch_size'?" in refused(batchsize=3)
    assert "`vadkit params`" in refused(zzz=3)


def test_all_problems_are_named_at_once():
    text = refused(batchsize=3, dropout=2.0, head_lr=True)
    assert all(part in text for part in ("batchsize", "dropout", "head_lr")) and text.count("\n") == 3


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("head_lr", "1e-4", "write it as 1.0e-4"),
        ("head_lr", "2E5", "write it as 2.0e+5"),
        ("batch_size", "1e2", "write it as 100"),
        ("batch_size", "16", "without quotes: 16"),
        ("batch_size", True, "not numbers"),
        ("head_lr", True, "not numbers"),
        ("profile", 3, "in quotes"),
        ("data_root", False, "in quotes"),
        ("detector_weights", None, "in quotes"),
        ("batch_size", 1.5, "integer"),
        ("seeds", [True], "seeds"),
        ("seeds", [-1], "greater than or equal to 0"),
        ("seeds", 3, "list"),
        ("backbone", "vgg", "resnet50"),
        ("head_lr", math.inf, "finite"),
        ("head_lr", math.nan, "head_lr"),
        ("dropout", 1.1, "less than or equal to 1"),
        ("strict", 1, "boolean"),
        ("strict", "yes", "boolean"),
    ],
)
def test_wrong_values_are_refused_with_advice(name, value, advice):
    text = refused(**{name: value})
    assert name in text and advice in text


def test_the_advice_on_exponents_can_be_followed(tmp_path):
    for text in ("1e-4", "2E5", "3e+1"):
        advice = refused(head_lr=text).rsplit(" ", 1)[1]
        assert load_params(write(tmp_path, f"head_lr: {advice}")).head_lr == float(text)


def test_an_integer_may_stand_for_a_float():
    assert make_config({"sas_reactivity": 2}).sas_reactivity == 2.0
    assert make_config({"sas_reactivity": 2}).fingerprint() == Config().fingerprint()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"corpus": "ucf_crime"}, "data_root"),
        ({"split": "grouped_cv"}, "official lists"),
        ({"corpus": "folder", "data_root": "x"}, "grouped_cv"),
        ({"corpus": "folder", "data_root": "x", "split": "grouped_cv", "folds": 1}, "at least 2"),
        ({"corpus": "folder", "data_root": "x", "split": "grouped_cv", "validation": "test_parity"}, "train_cut"),
        ({"head_epochs": 0, "finetune_epochs": 0}, "nothing would be trained"),
        ({"seeds": []}, "empty"),
        ({"seeds": [1, 1]}, "repeats"),
        ({"profile": "../x"}, "plain folder name"),
        ({"profile": ".."}, "plain folder name"),
        ({"profile": ""}, "plain folder name"),
    ],
)
def test_combinations_that_cannot_work_are_refused(values, said):
    assert said in refused(**values)


def test_sampling_presets_and_custom_rates():
    assert make_config({"sampling": "section_4_2"}).training_fps == (3.0, 10.0)
    assert make_config({"sampling": "custom", "anomaly_fps": 4.0, "normal_fps": 2.0}).training_fps == (4.0, 2.0)


OTHER = {
    str: lambda v: v + "x",
    int: lambda v: v + 1,
    float: lambda v: v + 0.0123,
    bool: lambda v: not v,
    list: lambda v: [*v, 9],
}


@pytest.mark.parametrize("name", Config.model_fields)
def test_the_fingerprint_changes_with_any_parameter_that_results_depend_on(name):
    value = getattr(Config(), name)
    changed = Config().model_copy(update={name: OTHER[type(value)](value)})
    places = ("cache_root", "output_root", "workers", "scheduler", "published_scores")
    assert (changed.fingerprint() == Config().fingerprint()) == (name in places)
    assert len(changed.fingerprint()) == 12


def test_file_overrides_and_defaults(tmp_path):
    path = write(tmp_path, "profile: mine\nbatch_size: 4\n")
    config = load_params(path, {"batch_size": 8})
    assert (config.profile, config.batch_size, config.patience) == ("mine", 8, Config().patience)
    assert load_params(write(tmp_path, "")) == Config()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch_size: 4\nbatch_size: 5\n", "given twice"),
        ("- 1\n- 2\n", "'name: value' lines"),
        ("model:\n  batch_size: 4\n", "unknown parameter 'model'"),
        ("a: [1,\n", "not valid YAML"),
        ("[1, 2]: 3\n", "must be text"),
        ("1: 3\n", "must be text"),
        (b"profile: \xff\n", "UTF-8"),
        ("seeds: !!python/object/apply:os.getpid []\n", "not valid YAML"),
    ],
)
def test_malformed_files_are_refused(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said) as caught:
        load_params(write(tmp_path, text))
    assert "some.yaml" in str(caught.value)


def test_missing_file_lists_those_that_are_there(tmp_path):
    write(tmp_path, "")
    with pytest.raises(ConfigError, match=r"no parameter file .*other\.yaml; .* has some\.yaml"):
        load_params(tmp_path / "other.yaml")


def test_overrides_read_as_in_a_file():
    assert parse_override("seeds", "[0, 1]") == [0, 1]
    assert parse_override("data_root", "") == "" and parse_override("data_root", "a b") == "a b"
    assert parse_override("strict", "true") is True
    with pytest.raises(ConfigError, match="-p profile"):
        parse_override("profile", "@x")


def test_parameters_cell_is_what_papermill_can_read():
    from papermill.inspection import _infer_parameters
    from papermill.iorw import nbformat

    cell = nbformat.v4.new_code_cell(parameters_cell(), metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(
        cells=[cell], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    found = _infer_parameters(notebook)
    assert {p.name: p.default for p in found} == {
        name: repr(field.default) for name, field in Config.model_fields.items()
    }
    namespace: dict = {}
    exec(parameters_cell(), namespace)
    assert make_config({name: namespace[name] for name in Config.model_fields}) == Config()


@given(
    st.dictionaries(
        st.sampled_from(sorted(Config.model_fields)),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(),
            st.lists(st.integers()),
            st.dictionaries(st.text(), st.integers()),
        ),
    )
)
def test_any_values_give_a_config_or_a_config_error(values):
    try:
        config = make_config(values)
    except ConfigError as error:
        assert str(error)
    else:
        assert make_config(config.model_dump()) == config
        assert make_config(yaml.safe_load(yaml.safe_dump(config.model_dump()))).fingerprint() == config.fingerprint()


def test_relative_paths_mean_the_projects_root(tmp_path, monkeypatch):
    for name in ("params", "notebooks", "else"):
        (tmp_path / name).mkdir()
    for folder in (tmp_path, tmp_path / "notebooks", tmp_path / "else"):
        monkeypatch.chdir(folder)
        assert project_root() == tmp_path.resolve() and resolve("cache") == tmp_path.resolve() / "cache"
    assert resolve("~/x") == Path.home() / "x"
    assert resolve("/x") == Path("/x")


def test_scores_to_evaluate_come_with_their_annotation():
    with pytest.raises(ConfigError, match="belong together"):
        make_config({"evaluate_scores": "scores.csv"})
    assert make_config({"evaluate_scores": "a.csv", "evaluate_annotations": "b.txt"}).evaluate_scores == "a.csv"


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("workers", "010", "write it as 10"),
        ("workers", "1:30", "plain number"),
        ("workers", "0x10", "plain number"),
        ("batch_size", "1_000", "write it as 1000"),
        ("head_lr", "1_0.5", "write it as 10.5"),
        ("head_lr", "1e-4", "write it as 1.0e-4"),
        ("seeds", "[0o1, 1]", "plain number"),
        ("seeds", "[010, 1]", "write it as 10"),
        ("strict", "yes", "true or false"),
        ("strict", "off", "true or false"),
        ("workers", "9" * 5000, "valid integer"),
        ("head_lr", "9" * 4000, "valid number"),
        ("workers", "9" * 12, "less than"),
        ("seeds", "[" * 500, "nests too deeply"),
        ("workers", "!!int 010", "tags"),
        ("workers", "&a 3", "anchors"),
        ("seeds", "*a", "aliases"),
        ("profile", "2024-02-30\n---\nb: 1", "is not"),
        ("profile", '"a\\0b"', "plain folder name"),
        ("profile", '"a\\nb"', "plain folder name"),
        ("profile", '"a\\eb"', "plain folder name"),
        ("profile", "x" * 5000, "up to 60"),
        ("data_root", '"a\\0b"', "control characters"),
        ("data_root", '"a\\nb"', "one line"),
        ("data_root", "x" * 5000, "4000 characters"),
    ],
)
def test_a_value_is_taken_as_written_or_refused_in_a_file_and_on_the_command_line(tmp_path, name, text, advice):
    with pytest.raises(ConfigError, match=advice) as in_file:
        load_params(write(tmp_path, f"{name}: {text}\n"))
    with pytest.raises(ConfigError, match=advice) as on_line:
        make_config({name: parse_override(name, text)})
    for error in (in_file, on_line):
        said = str(error.value)
        assert name in said or "some.yaml" in said
        assert len(said) < 600 and "set_int_max_str_digits" not in said and said.isprintable()


@pytest.mark.parametrize("text", ["2024-02-30", "2024-02-28", "on", "no", "1_000", "010", "0x1F"])
def test_a_text_that_yaml_would_take_for_something_else_is_the_text(tmp_path, text):
    assert load_params(write(tmp_path, f"profile: {text}\n")).profile == text == parse_override("profile", text)


def test_aliases_are_refused_before_they_are_expanded(tmp_path):
    lines = ["b0: &b0 [x]", *(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]" for n in range(1, 10))]
    with pytest.raises(ConfigError, match="line 1: anchors"):
        load_params(write(tmp_path, "\n".join(lines)))


def test_a_long_name_is_cut_where_it_is_repeated(tmp_path):
    assert len(refused(**{"z" * 5000: 1})) < 200
    with pytest.raises(ConfigError) as caught:
        load_params("z" * 5000)
    assert len(str(caught.value)) < 1000


@given(st.text(st.characters(exclude_categories=[]), max_size=40))
def test_any_text_is_a_value_or_a_config_error(text):
    try:
        value = parse_override("data_root", text)
        make_config({"data_root": value})
    except ConfigError as error:
        str(error).encode()
