"""The destinations that `deliver-messages` carries to; a new one is one more entry.

Submissions to instruments (`instrument:`) are not among them: they have flows of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from models.kernel.mail import DESTINATION as MAIL
from models.kernel.ports import Carrier
from models.kernel.settings import Settings
from models.upkeep.rules import LONGEST_MAIL_PAUSE, Persistence
from tasks.clients.mail.carrier import MailCarrier


@dataclass(frozen=True, slots=True)
class Kind:
    """Destinations that begin with `prefix`. `may_resend`: the receiver can tell a double by its key, so that a send
    whose outcome is unknown goes again; elsewhere it waits for a person. `in_flight` is how many are sent at once."""

    prefix: str
    open: Callable[[Settings], Carrier]
    may_resend: bool
    in_flight: int
    persistence: Callable[[Settings], Persistence] = lambda config: Persistence(config.delivery_attempts)


KINDS = (
    Kind(
        MAIL,
        MailCarrier,
        may_resend=True,
        in_flight=4,
        persistence=lambda config: Persistence(config.mail_attempts, LONGEST_MAIL_PAUSE),
    ),
)
