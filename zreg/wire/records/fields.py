"""Types of fields that several records share, with the bounds that the decoder enforces."""

from typing import Annotated

from msgspec import Meta

from zreg.config import Limits
from zreg.model import Count, Id, Publisher, Removal

RequestId = Count
ClusterId = Annotated[bytes, Meta(max_length=16)]
Digest = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Detail = Annotated[str, Meta(max_length=Limits.detail_characters_max)]
Seconds = Annotated[float, Meta(gt=0, le=Limits.seconds_max)]
Bucket = Annotated[int, Meta(ge=0, lt=Limits.bucket_count)]
ByteValue = Annotated[int, Meta(ge=0, le=255)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=Limits.ids_per_record_max)]
Publishers = Annotated[tuple[Publisher, ...], Meta(max_length=Limits.publishers_per_record_max)]
Removals = Annotated[tuple[Removal, ...], Meta(max_length=Limits.removals_per_record_max)]
# A publisher's version starts at 1 and, like every counter, stays below 2**63.
PublisherVersion = Annotated[int, Meta(ge=1, le=2**63 - 1)]
