"""Tags, names and the order of fields, on which all released versions rely."""

import pytest

from zreg.config import Limits
from zreg.raft.config import RaftConfig
from zreg.wire.messages import PROTOCOL_VERSION, TAGS, Message, WireMessage
from zreg.wire.records.meta_messages import FoundingStatement, Introduction
from zreg.wire.records.raft_messages import ENTRY_OVERHEAD_BYTES, RaftRecord

# ONLY APPEND. If a test here fails, peers of other versions cannot decode our records.
PINNED_TAGS = {
    1: "Hello",
    2: "Welcome",
    3: "Publish",
    4: "Unpublish",
    5: "Subscribe",
    6: "Unsubscribe",
    7: "ReplayDone",
    8: "Accepted",
    9: "Refused",
    10: "Push",
    11: "PushAck",
    12: "Ping",
    13: "Pong",
    14: "Bye",
    15: "WhoAreYou",
    16: "Moving",
    17: "Move",
    19: "WritesWait",
    20: "NodeHello",
    21: "PublishDatum",
    22: "UnpublishDatum",
    23: "FetchChanges",
    24: "Changes",
    25: "Snapshot",
    26: "CompareVersions",
    27: "Versions",
    28: "CompareDigest",
    29: "DigestCompared",
    30: "ComparePublishers",
    31: "PublishersCompared",
    32: "ListDatums",
    33: "DatumsListed",
    34: "Replicate",
    35: "Replicated",
    36: "BucketDigests",
    37: "BucketsCompared",
    38: "FetchBucket",
    39: "DatumDigests",
    40: "Changed",
    41: "Beat",
    42: "MembershipChanged",
    43: "MembershipChanges",
    44: "Ready",
    45: "FetchCopies",
    46: "Drain",
    47: "DatumCopy",
    48: "OfferCopy",
    49: "SetReplicaCount",
    50: "Join",
    51: "Renew",
    52: "Renewed",
    53: "Leave",
    54: "FetchMembership",
    55: "MembershipReply",
    56: "SetSetting",
    57: "FetchSettings",
    58: "SettingsReply",
    59: "ReportGone",
    60: "RequestVote",
    61: "RequestVoteReply",
    62: "AppendEntries",
    63: "AppendEntriesReply",
    64: "InstallSnapshot",
    65: "InstallSnapshotReply",
    66: "TransferLeader",
    67: "TransferLeaderReply",
    70: "IntroduceMeta",
    71: "MetaIntroduced",
    72: "AddMeta",
    73: "RemoveMeta",
    74: "FetchMetaNodes",
    75: "MetaNodesReply",
    76: "MetaDeclined",
    77: "FetchEvents",
    78: "EventsReply",
    79: "DismissLoss",
    80: "AskFounding",
    81: "FoundingReply",
    82: "FetchStatistics",
    83: "StatisticsReply",
    84: "FetchInstance",
    85: "InstanceFetched",
    86: "InstanceTaken",
    87: "FetchHops",
    88: "HopsReply",
    89: "FindInstances",
    90: "InstancesFound",
    91: "FindClients",
    92: "ClientsFound",
    93: "RollCall",
    94: "Present",
    95: "ClientWaits",
}


def test_tags_keep_their_meaning() -> None:
    assert {tag: message.__name__ for tag, message in TAGS.items()} == PINNED_TAGS


def test_the_protocol_version_is_pinned() -> None:
    assert PROTOCOL_VERSION == 1


def test_every_message_class_is_in_the_union() -> None:
    """A message that is defined but not in the union could be sent and not be decoded."""
    bases = (RaftRecord, Introduction, FoundingStatement)
    kinds = {*Message.__subclasses__(), *(k for base in bases for k in base.__subclasses__())}
    defined = kinds - set(bases)

    assert defined == set(WireMessage.__args__)


def test_the_entries_of_one_request_fit_into_one_record() -> None:
    """Raft's limits stay within those of the wire, because the decoder refuses larger records."""
    config = RaftConfig(node_id="n1")

    assert config.append_bytes_max // ENTRY_OVERHEAD_BYTES <= Limits.raft_entries_per_record_max
    assert config.command_bytes_max <= Limits.raft_data_bytes_max
    assert config.chunk_bytes_max <= Limits.raft_data_bytes_max
    assert 2 * config.command_bytes_max + config.append_bytes_max < Limits.frame_bytes_max


@pytest.mark.parametrize("kind", TAGS.values(), ids=lambda kind: kind.__name__)
def test_a_message_is_a_frozen_tagged_array(kind: type[Message]) -> None:
    config = kind.__struct_config__

    assert config.frozen
    assert config.array_like
    assert not config.gc
    assert not config.forbid_unknown_fields
    assert TAGS[int(str(config.tag))] is kind


@pytest.mark.parametrize("kind", TAGS.values(), ids=lambda kind: kind.__name__)
def test_a_request_id_is_the_first_field(kind: type[Message]) -> None:
    """The codec takes the field after the tag as the id of a request that it could not decode."""
    if "request_id" in kind.__struct_fields__:
        assert kind.__struct_fields__[0] == "request_id"
