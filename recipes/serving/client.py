"""Asks a server by TensorFlow Serving's REST, ours or any other. Of the standard library alone: it starts at once.

https://www.tensorflow.org/tfx/serving/api_rest. Requests are in the row format, which every version of it answers.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import ipaddress
import json
import ssl
import struct
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit

LOOK_SECONDS, ASK_SECONDS = 10.0, 120.0  # for an answer: about a model, and of it
RETRIES, FIRST_WAIT, LONGEST_WAIT = 5, 0.5, 30.0  # of what is busy or gone for a moment; seconds, doubled each time
LONGEST_ANSWER = 256 << 20  # bytes
LONGEST_MESSAGE = 1000  # characters
LARGE = 1 << 20  # bytes of a body that a server may break off to receive

#: Statuses that speak of what was asked: others may be answered. Besides, 504: fewer at once may be done in time.
OF_THE_INPUTS = (400, 413, 422, 500, 504)
PASSING = (429, 502, 503)


class RequestError(Exception):
    """A request that was not answered, and why, in one message.

    Args:
        message: With what to do.
        status: Of HTTP; 0: there was no answer.
        wait: Seconds that the server asks to wait before the next request.
        is_passing: Whether the same request may be answered later.
        is_of_the_inputs: Whether other inputs, or fewer at once, may be answered.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        *,
        wait: float = 0.0,
        is_passing: bool = False,
        is_of_the_inputs: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.wait = status, wait
        self.is_passing = is_passing or status in PASSING
        self.is_of_the_inputs = is_of_the_inputs or status in OF_THE_INPUTS


class Tensor(NamedTuple):
    """An input or output of a signature."""

    dtype: str  # "DT_STRING", "DT_FLOAT", ...
    shape: tuple[int, ...] | None  # -1: of any size; None: of any shape


class Signature(NamedTuple):
    """One way to ask a model."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class RemoteModel:
    """A model on a server.

    Args:
        url: The server's address, such as http://127.0.0.1:8501; what stands before /v1 may have a path.
        name: The model's, on the server.
        token: Sent as "Authorization: Bearer TOKEN"; "": none.
        ca_certificate: PEM file of the authority that signed the server's certificate; None: those of the system.

    Raises:
        RequestError: The address, the token or the certificate's file cannot be used.
    """

    def __init__(self, url: str, name: str, *, token: str = "", ca_certificate: Path | None = None) -> None:
        self.url, self.name = _checked_address(url), name
        if not (token.isascii() and token.isprintable()):
            raise RequestError("the token holds characters that no header takes; expected letters, digits and signs")
        self.sends_token = bool(token)
        self._headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "recipes"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        is_here = is_loopback(urlsplit(self.url).hostname or "")
        # A proxy elsewhere would take 127.0.0.1 for itself.
        handlers: list[Any] = [_NoRedirect(), urllib.request.ProxyHandler({} if is_here else None)]
        if self.url.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=_tls(ca_certificate)))
        self._opener = urllib.request.build_opener(*handlers)
        self._has_answered = False

    def signatures(self) -> dict[str, Signature]:
        """Returns the model's signatures by name.

        Raises:
            RequestError: The server, or the model, is not there, or it is no TensorFlow Serving.
        """
        try:
            answer = self._ask(self._path("/metadata"))
        except RequestError as error:
            if error.status == 404:
                raise RequestError(self._why_missing(str(error)), 404) from None
            raise
        try:
            definitions = answer["metadata"]["signature_def"]["signature_def"]
            return {
                name: Signature(_tensors(one.get("inputs") or {}), _tensors(one.get("outputs") or {}))
                for name, one in definitions.items()
            }
        except (KeyError, TypeError, ValueError, AttributeError):
            message = f"{self.url} describes {self.name} as no TensorFlow Serving does: {_cut(answer)}"
            raise RequestError(message) from None

    def predict(
        self, signature_name: str, signature: Signature, rows: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Returns the outputs, by name, of each row of inputs.

        Args:
            signature_name: Of the model's.
            signature: What `signatures` says of it.
            rows: Inputs by name; bytes are sent as such, in base 64.

        Raises:
            RequestError: The server, or the model, refused the request.
        """
        body = {"signature_name": signature_name, "instances": [_encoded(dict(row)) for row in rows]}
        answer = self._ask(self._path(":predict"), json.dumps(body).encode())
        predictions = answer.get("predictions") if isinstance(answer, dict) else None
        if not isinstance(predictions, list) or len(predictions) != len(rows):
            expected = f"expected {len(rows)} predictions"
            raise RequestError(f"{self.url} answered {len(rows)} inputs with {_cut(answer)}; {expected}")
        if len(signature.outputs) == 1:
            predictions = [dict.fromkeys(signature.outputs, one) for one in predictions]
        try:
            return [
                {name: _decoded(value, name, signature.outputs[name].dtype) for name, value in one.items()}
                for one in predictions
            ]
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            raise RequestError(
                f"{self.url} answered with {_cut(predictions[0])}; expected {', '.join(signature.outputs)}"
            ) from None

    def label_names(self) -> list[str] | None:
        """Returns the names of the classes or labels; None where the server does not tell: ours does."""
        for model in self._models_of_the_page():
            manifest = model.get("manifest") or {}
            names = manifest.get("label_names") if model.get("name") == self.name else None
            if isinstance(names, list) and names:
                return [str(name) for name in names]
        return None

    # ------------------------------------------------------------ HTTP

    def _path(self, end: str) -> str:
        return f"/v1/models/{quote(self.name, safe='')}{end}"

    def _models_of_the_page(self) -> list[dict[str, Any]]:
        try:
            answer = self._ask("/page/models")
        except RequestError:  # another server than ours
            return []
        return [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else []

    def _why_missing(self, message: str) -> str:
        """Returns what there is instead of a model that the server does not know, as far as it tells."""
        names = [str(model.get("name")) for model in self._models_of_the_page()]
        if names and self.name not in names:
            return f"{self.url} serves no model {self.name!r}; models there: {', '.join(names)}"
        try:
            [newest, *_] = self._ask(self._path(""))["model_version_status"]
            state = f"version {newest['version']} is {newest['state']}"
            why = newest["status"]["error_message"]
            return f"{self.url} has {self.name!r}, but {state}{f': {why}' if why else ''}"
        except (RequestError, KeyError, TypeError, ValueError):
            return f"{self.url} serves no model {self.name!r}: {message}"

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        """Returns the JSON that is answered, after some waiting where the server has too much to do or is restarted."""
        for attempt in range(RETRIES):
            try:
                return self._ask_once(path, body)
            except RequestError as error:
                if not error.is_passing:
                    raise
                time.sleep(min(LONGEST_WAIT, max(FIRST_WAIT * 2**attempt, error.wait)))
        return self._ask_once(path, body)

    def _ask_once(self, path: str, body: bytes | None) -> Any:
        seconds = LOOK_SECONDS if body is None else ASK_SECONDS
        request = urllib.request.Request(self.url + path, body, self._headers)
        try:
            with self._opener.open(request, timeout=seconds) as response:
                content = response.read(LONGEST_ANSWER + 1)
                content_type = response.headers.get_content_type()
        except HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(error, len(body or b""), seconds) from None
        self._has_answered = True
        if len(content) > LONGEST_ANSWER:
            raise RequestError(f"{self.url} answered with more than {LONGEST_ANSWER:,} bytes")
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise RequestError(
                f"{self.url} is no TensorFlow Serving: {path} was answered with {content_type}, no JSON; its REST is "
                "usually on port 8501"
            ) from None

    def _refusal(self, error: HTTPError) -> RequestError:
        """Returns what an answer with an error's status says."""
        status = error.code
        if 300 <= status < 400:
            place = error.headers.get("Location", "")
            advice = "which is not followed; pass the address that is meant"
            return RequestError(f"{self.url} sends on to {place!r}, {advice}", status)
        self._has_answered = True
        try:
            message = json.loads(error.read(LARGE))["error"]
        except (ValueError, KeyError, TypeError, RecursionError, OSError, http.client.HTTPException):
            message = None
        message = " ".join(str(message).split())[:LONGEST_MESSAGE] if message else f"HTTP {status} {error.reason}"
        if status in (401, 403):
            what = "refuses the token" if self.sends_token else "asks for a token"
            return RequestError(
                f"{self.url} {what}: {message}. It is read from the variable RECIPES_TOKEN or from --token-file", status
            )
        if status not in (*OF_THE_INPUTS, 404):
            message = f"{self.url} answered {status}: {message}"
        return RequestError(message, status, wait=_seconds(error.headers.get("Retry-After")))

    def _no_answer(self, error: Exception, size: int, seconds: float) -> RequestError:
        """Returns why there was no answer."""
        reason = error.reason if isinstance(error, URLError) else error
        proxy = self._proxy()
        where = f"{self.url}{f' (through the proxy of the variable {proxy})' if proxy else ''}"
        if isinstance(reason, ssl.SSLCertVerificationError):
            return RequestError(
                f"the certificate of {where} is not trusted: {reason.verify_message}. --ca-certificate FILE names the "
                "authority that signed it"
            )
        if isinstance(reason, ssl.SSLError):
            return RequestError(f"{where} speaks no TLS that is understood here: {reason.reason}; is it http://?")
        if isinstance(reason, TimeoutError):
            return RequestError(f"{where} did not answer within {seconds:g} s")
        if isinstance(reason, ConnectionRefusedError):
            advice = "is it running, and on this port? 'recipes serve' starts one"
            return RequestError(f"nobody answers at {where}: {advice}", is_passing=self._has_answered)
        if isinstance(reason, (BrokenPipeError, ConnectionResetError)):  # http.client.RemoteDisconnected is one
            if size >= LARGE:
                message = f"{where} broke off a request of {size:,} bytes: more than it takes?"
                return RequestError(message, is_of_the_inputs=True)
            message = f"{where} closed the connection without an answer; does it speak TLS (https://)?"
            return RequestError(message, is_passing=self._has_answered)
        if isinstance(reason, http.client.HTTPException):
            advice = "gRPC listens on another port (8500) than REST (8501)"
            return RequestError(f"{where} speaks no HTTP that is understood here; {advice}")
        text = getattr(reason, "strerror", None) or str(reason)
        is_passing = self._has_answered and isinstance(reason, ConnectionError)
        return RequestError(f"{where} cannot be reached: {text}", is_passing=is_passing)

    def _proxy(self) -> str:
        """Returns the name of the environment's variable that sends the requests to a proxy; "": none does."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if is_loopback(host) or urllib.request.proxy_bypass(host):
            return ""
        proxies = urllib.request.getproxies()
        return next((f"{kind}_proxy" for kind in (parts.scheme, "all") if kind in proxies), "")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, which might carry a token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        """Returns None: the redirect is an error."""


def is_loopback(host: str) -> bool:
    """Returns whether a host is this machine itself.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("models.example.org")
    (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_address(url: str) -> str:
    """Returns a server's address without the slash at its end."""
    expected = "expected a server's address, such as http://127.0.0.1:8501"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise RequestError(f"{url!r} is no address: {error}; {expected}") from None
    if parts.scheme not in ("http", "https") or not host or any(not " " < letter <= "~" for letter in url):
        raise RequestError(f"{url!r} is no address of HTTP; {expected}")
    if parts.username or parts.password:
        raise RequestError(f"the address of {host} holds a user's name; {expected}, and a token in RECIPES_TOKEN")
    if parts.query or parts.fragment or "/v1/" in f"{parts.path}/":
        raise RequestError(f"{url!r} says more than where the server is; {expected}")
    return url.rstrip("/")


def _tls(ca_certificate: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_certificate)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if not isinstance(error, ssl.SSLError) and error.strerror else "it is no PEM file"
        raise RequestError(f"the certificate {ca_certificate} cannot be read: {why}") from None


def _tensors(described: Mapping[str, Any]) -> dict[str, Tensor]:
    tensors = {}
    for name, one in described.items():
        shape = one.get("tensor_shape") or {}
        sizes = None if shape.get("unknown_rank") else tuple(int(dim["size"]) for dim in shape.get("dim", ()))
        tensors[name] = Tensor(str(one["dtype"]), sizes)
    return tensors


def _encoded(value: Any) -> Any:
    """Returns a value as the JSON of TensorFlow Serving holds it."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: _encoded(one) for name, one in value.items()}
    return value


def _decoded(value: Any, name: str, dtype: str) -> Any:
    """Returns an output as Python's own types: bytes where its name ends so, and float32 as exactly that number."""
    if isinstance(value, list):
        return [_decoded(one, name, dtype) for one in value]
    if dtype == "DT_FLOAT":
        return struct.unpack("f", struct.pack("f", value))[0]
    if dtype == "DT_STRING" and name.endswith("_bytes"):
        try:
            return base64.b64decode(value["b64"])
        except binascii.Error as error:
            raise ValueError(str(error)) from None
    return value


def _seconds(retry_after: str | None) -> float:
    """Returns the seconds of a Retry-After header; 0 of none, or of a date."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0


def _cut(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 200 else f"{text[:200]}..."
