"""Events: everything that a profile can put a price on, by kind of model."""

CLASSES = ("mac", "ac", "graded", "binary")
PRODUCTS = (*CLASSES, *(f"dense_{name}" for name in CLASSES))  # as `OpCounts` names them

_ARITHMETIC = (*CLASSES, "add", "leak", "integrate", "compare", "reset")
EVENTS = {
    "op-only": _ARITHMETIC,
    "sram": _ARITHMETIC,
    "lemaire": ("add", "multiply"),
    "chip": (
        *CLASSES,
        "ac_convolution",
        *("neuron", "neuron_active", "neuron_inactive"),
        *("spike", "message", "hop", "input_bit", "inference"),
    ),
}
ALL_EVENTS = tuple(dict.fromkeys(event for events in EVENTS.values() for event in events))
LEFT_OUT = (
    *ALL_EVENTS,
    *("state_read", "state_write", "memory", "addressing", "routing", "control", "element_wise"),
    *("static", "fixed", "input_output", "host", "learning"),
)
