"""The union of all records, and their tags. docs/protocol.md is the specification.

A record is an array `[tag, field, ...]`. A tag is never reused and never changes its meaning. A new
field goes to the end, with a default, so that older and newer nodes can decode each other's
records. Requests are named by verbs and have a `request_id`, which the answer repeats; facts are
named by participles or nouns. Each module `*_messages` has the records of one link.
"""

from typing import Final

from zreg.wire import record
from zreg.wire.records import client_messages as client
from zreg.wire.records import common_messages as common
from zreg.wire.records import data_messages as data
from zreg.wire.records import membership_messages as membership
from zreg.wire.records import meta_messages as meta
from zreg.wire.records import raft_messages as raft
from zreg.wire.records import replication_messages as replication
from zreg.wire.records import settings_messages as settings

# The base of every record, under the name that the cores import.
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
    | client.Moving
    | client.WhoAreYou
    | data.NodeHello
    | data.WritesWait
    | data.ClientWaits
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
    | membership.Ready
    | membership.Drain
    | membership.SetReplicaCount
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
    | replication.Replicate
    | replication.Replicated
    | replication.BucketDigests
    | replication.BucketsCompared
    | replication.FetchBucket
    | replication.DatumDigests
    | replication.FetchCopies
    | replication.DatumCopy
    | replication.OfferCopy
    | client.Move
    | common.FetchEvents
    | common.EventsReply
    | membership.DismissLoss
    | meta.AskFounding
    | meta.FoundingReply
    | common.FetchStatistics
    | common.StatisticsReply
    | data.FetchInstance
    | data.InstanceFetched
    | data.InstanceTaken
    | common.FetchHops
    | common.HopsReply
    | common.FindInstances
    | common.InstancesFound
    | common.FindClients
    | common.ClientsFound
    | data.RollCall
    | data.Present
)

# ONLY APPEND: every released version relies on the meaning of its tags.
TAGS: Final[dict[int, type[Message]]] = {
    int(str(message.__struct_config__.tag)): message for message in WireMessage.__args__
}
