"""A table of named builders: nothing more than a dict that refuses doubles and explains what it does not know."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from .errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Builders by name.

    >>> colours: Registry[str] = Registry("colour")
    >>> @colours.register("red")
    ... def red(*, dark: bool = False) -> str:
    ...     return "maroon" if dark else "red"
    >>> colours.build("red", dark=True)
    'maroon'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._builders: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Decorator that enters a builder under `name`; a name taken already raises ValueError."""

        def enter(builder: Callable[..., T]) -> Callable[..., T]:
            if name in self._builders:
                raise ValueError(f"{self.kind} {name!r} is registered already")
            self._builders[name] = builder
            return builder

        return enter

    def __getitem__(self, name: str) -> Callable[..., T]:
        if name not in self._builders:
            raise UnknownNameError(self.kind, name, self._builders)
        return self._builders[name]

    def build(self, name: str, /, **options: Any) -> T:
        """What the builder of `name` makes of `options`; a wrong option raises TypeError at its signature."""
        return self[name](**options)

    def __contains__(self, name: object) -> bool:
        return name in self._builders

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)
