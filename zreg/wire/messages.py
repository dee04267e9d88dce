"""Every record that travels, with its tag. docs/protocol.md is the specification.

A record is an array `[tag, field, ...]`. Tags are never reused and never change their meaning; a
new field goes to the end, with a default, so that both directions of version skew decode. Requests
are verbs and carry a `request_id` that the answer repeats; facts are participles or nouns.
"""

from typing import Final

from zreg.wire import client_messages as client
from zreg.wire import common_messages as common
from zreg.wire import data_messages as data
from zreg.wire import membership_messages as membership
from zreg.wire import meta_messages as meta
from zreg.wire import raft_messages as raft
from zreg.wire import record
from zreg.wire import settings_messages as settings

# The base of every record, under the name by which cores know it.
Message = record.Message

PROTOCOL_VERSION: Final = 1

WireMessage = (
    client.Hello
    | client.Welcome
    | client.Publish
    | client.Unpublish
    | client.Subscribe
    | client.Unsubscribe
    | client.ReplayDone
    | common.Accepted
    | common.Refused
    | client.Push
    | client.PushAck
    | common.Ping
    | common.Pong
    | client.Bye
    | client.WhoAreYou
    | data.NodeHello
    | data.PublishDatum
    | data.UnpublishDatum
    | data.FetchChanges
    | data.Changes
    | data.Snapshot
    | data.CompareVersions
    | data.Versions
    | data.CompareDigest
    | data.DigestCompared
    | data.ComparePublishers
    | data.PublishersCompared
    | data.ListDatums
    | data.DatumsListed
    | data.Changed
    | data.Beat
    | membership.MembershipChanged
    | membership.Join
    | membership.Renew
    | membership.Renewed
    | membership.Leave
    | membership.FetchMembership
    | membership.MembershipReply
    | settings.SetSetting
    | settings.FetchSettings
    | settings.SettingsReply
    | raft.RequestVote
    | raft.RequestVoteReply
    | raft.AppendEntries
    | raft.AppendEntriesReply
    | raft.InstallSnapshot
    | raft.InstallSnapshotReply
    | raft.TransferLeader
    | raft.TransferLeaderReply
    | membership.ReportGone
    | meta.IntroduceMeta
    | meta.MetaIntroduced
    | meta.AddMeta
    | meta.RemoveMeta
    | meta.FetchMetaNodes
    | meta.MetaNodesReply
    | meta.MetaDeclined
    | membership.MembershipChanges
)

# ONLY APPEND: a tag is a promise to every version that is out there.
TAGS: Final[dict[int, type[Message]]] = {
    int(str(message.__struct_config__.tag)): message for message in WireMessage.__args__
}
