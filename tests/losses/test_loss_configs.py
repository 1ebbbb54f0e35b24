import pytest
from omegaconf import OmegaConf

from losses.balance import BalanceConfig, build_balance
from losses.binary import BinaryParameters
from losses.classification import ClassificationParameters
from losses.contrastive import ContrastiveParameters
from losses.negatives import SpanParameters
from losses.regression import RegressionParameters
from losses.schedules import Annealing, RateSchedule


@pytest.mark.parametrize(
    "schema",
    [
        Annealing,
        BalanceConfig,
        BinaryParameters,
        ClassificationParameters,
        ContrastiveParameters,
        RateSchedule,
        RegressionParameters,
        SpanParameters,
    ],
)
def test_every_parameter_class_survives_a_yaml_round_trip(schema):
    config = OmegaConf.structured(schema)
    text = OmegaConf.to_yaml(config)
    assert OmegaConf.to_object(OmegaConf.merge(config, OmegaConf.create(text))) == schema()


def test_a_configured_balance_is_built():
    config = OmegaConf.merge(
        OmegaConf.structured(BalanceConfig), {"kind": "gradient", "names": ["rec"], "decay": 0.9}
    )
    balance = build_balance(OmegaConf.to_object(config))
    assert balance.names == ("rec",)
    assert balance.decay == 0.9
