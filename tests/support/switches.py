"""A brake that holds nothing, for calls outside of a platform."""

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.memory_switches import MemorySwitches
from fairlead.handling.switching import Brake

FREE = Brake(MemorySwitches(), SystemClock())
