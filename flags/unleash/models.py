"""What Unleash answers, as far as Canario reads it: frozen, unknown fields ignored, camelCase on the wire."""

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

GRADUAL = "flexibleRollout"  # Unleash's name of the gradual rollout strategy


class Answer(BaseModel):
    """Base of the parts of an answer."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Constraint(Answer):
    """One condition of a strategy on a user's context, with every field that came: it is written back so."""

    model_config = ConfigDict(extra="allow")

    context_name: str
    operator: str
    values: tuple[str, ...] = ()
    value: str | None = None
    inverted: bool = False

    def __str__(self) -> str:
        operand = ", ".join(self.values) if self.values else self.value or ""
        return f"{'not ' if self.inverted else ''}{self.context_name} {self.operator} {operand}".rstrip()

    @property
    def as_sent(self) -> dict[str, Any]:
        """As it came from Unleash, or will go there."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Strategy(Answer):
    """One strategy of a flag in an environment. Unleash keeps parameters as text, and checks none of them."""

    id: str
    name: str
    disabled: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()
    segments: tuple[int, ...] = ()
    variants: tuple[Any, ...] = ()

    def parameter(self, name: str) -> str | None:
        """A parameter as text, None where Unleash has none."""
        value = self.parameters.get(name)
        return None if value is None else str(value)

    @property
    def percent(self) -> int | None:
        """The rollout as a whole number from 0 to 100; None where it is absent or anything else."""
        text = self.parameter("rollout") or ""
        share = int(text) if text.isdecimal() and text.isascii() else -1
        return share if 0 <= share <= 100 else None


class Written(RootModel[dict[str, Any]]):
    """A strategy as a change has left it, with every field: the event log tells the change by the same."""


class EnvironmentState(Answer):
    """A flag in one environment: its switch and its strategies."""

    name: str
    enabled: bool
    strategies: tuple[Strategy, ...] = ()


class Link(Answer):
    """An address on a flag's page."""

    id: str
    url: str
    title: str | None = None


class Feature(Answer):
    """A flag with all its environments."""

    name: str
    type: str
    description: str | None = None
    environments: tuple[EnvironmentState, ...]
    links: tuple[Link, ...] = ()


class Segment(Answer):
    """Conditions with a name, to which strategies refer. Kept as they came, to be written back whole."""

    id: int
    name: str
    description: str | None = None
    project: str | None = None
    constraints: tuple[dict[str, Any], ...] = ()


class Segments(Answer):
    """All segments of the server."""

    segments: tuple[Segment, ...]


class Tag(Answer):
    """A mark on a flag's page, `type:value`."""

    type: str
    value: str


class TagList(Answer):
    """All marks of one flag."""

    tags: tuple[Tag, ...]


class ContextField(Answer):
    """A field of a request's context that people can set constraints on in the UI."""

    name: str


class ContextFields(RootModel[tuple[ContextField, ...]]):
    """All of the server."""


class TagTypes(Answer):
    """All types of tags of the server."""

    class Name(Answer):
        name: str

    tag_types: tuple[Name, ...]


class Event(Answer):
    """One line of Unleash's event log.

    Attributes:
        project, environment, feature_name: None where it is about none, as the whole flag is about no one
            environment.
        data: what it is about, as it is from then on: a strategy, a tag, a segment; None where it is gone.
        pre_data: the same as it was before; None where it is new.
    """

    id: int
    type: str
    created_by: str
    created_at: AwareDatetime
    project: str | None = None
    environment: str | None = None
    feature_name: str | None = None
    data: Any = None
    pre_data: Any = None


class Events(Answer):
    """Found events, the latest first."""

    events: tuple[Event, ...]


class Role(Answer):
    """A root role."""

    id: int
    name: str


class User(Answer):
    """A user as an administrator sees it."""

    id: int
    username: str | None = None
    root_role: int | None = None


class Users(Answer):
    """All users, and the roles that a user can have on this server."""

    users: tuple[User, ...]
    root_roles: tuple[Role, ...]


class Permission(Answer):
    """What a user may do, in one project and environment or, with None, in all."""

    permission: str
    project: str | None = None
    environment: str | None = None

    def covers(self, permission: str, project: str, environment: str) -> bool:
        """Whether this grants `permission` there."""
        return (
            self.permission in {permission, "ADMIN"}
            and self.project in {None, "*", project}
            and self.environment in {None, "", "*", environment}
        )


class Me(Answer):
    """The user behind a token."""

    class Name(Answer):
        username: str | None = None

    user: Name
    permissions: tuple[Permission, ...] = ()


class Token(Answer):
    """A personal access token, without its secret."""

    id: int
    description: str
    expires_at: AwareDatetime
    created_at: AwareDatetime
    seen_at: AwareDatetime | None = None


class Tokens(Answer):
    """All tokens of one user, also expired ones."""

    pats: tuple[Token, ...]


class NewToken(Token):
    """A personal access token at the one time that Unleash tells its secret."""

    secret: str = Field(repr=False)
