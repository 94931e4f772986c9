"""What arrives about people: the shapes of requests and forms, with every bound a field has."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from models.kernel.fields import Code, Email, Id, IsoDate, Line, Name, one_line
from models.people.roles import PASSWORD_LONGEST, ROLES, SCOPES

Role = StrEnum("Role", {name.upper(): name for name in ROLES})  # type: ignore[misc]  # made from the one table of roles
Scope = StrEnum(  # type: ignore[misc]  # made from the one table of scopes
    "Scope", {name.upper().replace(":", "_"): name for name in SCOPES}
)


def _sayable(secret: SecretStr) -> SecretStr:
    one_line(secret.get_secret_value())
    return secret


Password = Annotated[SecretStr, Field(max_length=PASSWORD_LONGEST), AfterValidator(_sayable)]


class Sex(StrEnum):
    """Administrative sex: it chooses the reference range; `other` and `unknown` get ranges for everybody only."""

    FEMALE = "female"
    MALE = "male"
    OTHER = "other"
    UNKNOWN = "unknown"


class Shape(BaseModel):
    """A request body: unknown fields are refused, so that a misspelt one is not silently lost."""

    model_config = ConfigDict(extra="forbid", use_enum_values=True)


class Credentials(Shape):
    """What somebody signs in with; `laboratory` (its short name) where one address belongs to several."""

    email: Line
    password: Password
    laboratory: Line = ""


class UserIn(Shape):
    """A new user. They set their password themselves, by a link sent to their address."""

    email: Email
    name: Name
    roles: list[Role] = Field(min_length=1, max_length=len(ROLES))


class UserEdit(Shape):
    """What can be changed about a user; a field left out stays as it is."""

    name: Name | None = None
    roles: list[Role] | None = Field(default=None, min_length=1, max_length=len(ROLES))


class NewPassword(Shape):
    """A password to be set."""

    password: Password


class PasswordChange(NewPassword):
    """A new password beside the present one."""

    present: Password


class ResetRequest(Shape):
    """Whoever forgot their password; the answer is the same whether the address is known or not."""

    email: Email


class ResetIn(NewPassword):
    """A new password by the one-time token of the mailed link."""

    token: Name


class TokenIn(Shape):
    """A new API token of the caller; it can never do more than the caller's roles."""

    name: Name
    scopes: list[Scope] = Field(min_length=1, max_length=len(SCOPES))
    expires_in_days: int = Field(default=90, ge=1, le=3650)


class PatientIn(Shape):
    """A new patient. Names may be empty: somebody unidentified still needs a laboratory."""

    code: Code
    family_name: Line = ""
    given_names: Line = ""
    sex: Sex = Sex.UNKNOWN
    birth_date: IsoDate | None = None
    email: Email | None = None
    is_report_mailed: bool = False


class PatientEdit(PatientIn):
    """A patient as they should be; `version` is the one the caller saw."""

    version: Id


class IdentifierIn(Shape):
    """A patient's number in another system, for example system `national-id`."""

    system: Code
    value: Name


class MergeIn(Shape):
    """Merge the record `merged_id` into the one named in the address; both versions as the caller saw them."""

    merged_id: Id
    version: Id
    merged_version: Id


class TenantIn(Shape):
    """A laboratory or clinic. The slug is its short name in addresses and parameters."""

    name: Name
    slug: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$")]
    time_zone: Line = "UTC"
