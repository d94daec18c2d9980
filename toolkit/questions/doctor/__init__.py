"""Look for what is wrong before it hurts. Each finding says where, what, how bad, what shows it, and what to do next."""

from toolkit.questions.doctor.examine import Examined, Surroundings, examine, run
from toolkit.questions.doctor.packages import foreign_owners

__all__ = ["Examined", "Surroundings", "examine", "foreign_owners", "run"]
