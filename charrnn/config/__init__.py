"""What a network, a text, a run and a sample are made of; checked when they are created."""

from charrnn.config.checks import (
    MAX_SIZE,
    require_choice,
    require_path,
    require_text,
    require_whole,
)
from charrnn.config.model import (
    EMBEDDING_SIZE,
    INITIAL_STATES,
    ONE_HOT_VOCABULARY,
    SPECTRAL_RADIUS,
    ModelConfig,
)
from charrnn.config.recall import RECALL_BETA, RECALL_RULES
from charrnn.config.sampling import (
    ANSWER_BEAMS,
    DEFAULT_MIN_P,
    MOST_ANSWER_BEAMS,
    MOST_BEAMS,
    SamplingConfig,
    SamplingPlan,
)
from charrnn.config.text import DECODERS, LABELS, RESTORABLE, TASKS, TextConfig
from charrnn.config.training import (
    BASES,
    LEARNING_RATES,
    MAX_EXTENT,
    MOMENTS,
    OPTIMIZERS,
    PAGE_PRECISIONS,
    PRECISIONS,
    SEQUENCE_LENGTH,
    WEIGHT_DECAYS,
    Plan,
    TrainingConfig,
    check_machine,
)

__all__ = [
    "ANSWER_BEAMS",
    "BASES",
    "DECODERS",
    "DEFAULT_MIN_P",
    "EMBEDDING_SIZE",
    "INITIAL_STATES",
    "LABELS",
    "LEARNING_RATES",
    "MAX_EXTENT",
    "MAX_SIZE",
    "MOMENTS",
    "MOST_ANSWER_BEAMS",
    "MOST_BEAMS",
    "ONE_HOT_VOCABULARY",
    "OPTIMIZERS",
    "PAGE_PRECISIONS",
    "PRECISIONS",
    "RECALL_BETA",
    "RECALL_RULES",
    "RESTORABLE",
    "SEQUENCE_LENGTH",
    "SPECTRAL_RADIUS",
    "TASKS",
    "WEIGHT_DECAYS",
    "ModelConfig",
    "Plan",
    "SamplingConfig",
    "SamplingPlan",
    "TextConfig",
    "TrainingConfig",
    "check_machine",
    "require_choice",
    "require_path",
    "require_text",
    "require_whole",
]
