import Protobuf
import RPC

/// Messages of etcd's API v3, by the names of its schemas (`etcdserverpb`, `mvccpb`), as far as the store asks and reads.
enum EtcdV3 {
  static let range = RPCMethod(service: "etcdserverpb.KV", name: "Range")
  static let txn = RPCMethod(service: "etcdserverpb.KV", name: "Txn")
  static let compact = RPCMethod(service: "etcdserverpb.KV", name: "Compact")
  static let watch = RPCMethod(service: "etcdserverpb.Watch", name: "Watch")
  static let leaseGrant = RPCMethod(service: "etcdserverpb.Lease", name: "LeaseGrant")
  static let leaseRevoke = RPCMethod(service: "etcdserverpb.Lease", name: "LeaseRevoke")
  /// A stream in both directions: one question, after which the client has no more, gets one answer.
  static let leaseKeepAlive = RPCMethod(service: "etcdserverpb.Lease", name: "LeaseKeepAlive")

  struct ResponseHeader: ProtobufMessage {
    /// etcd's own: it counts the changes of all keys.
    var revision: Int64 = 0
    /// The time of one leader among the members, as the one that answers knows it.
    var raftTerm: UInt64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(3, &revision)
      try fields.field(4, &raftTerm)
    }
  }

  struct KeyValue: ProtobufMessage {
    var key: [UInt8] = []
    var createRevision: Int64 = 0
    var modRevision: Int64 = 0
    var value: [UInt8] = []
    var lease: Int64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &key)
      try fields.field(2, &createRevision)
      try fields.field(3, &modRevision)
      try fields.field(5, &value)
      try fields.field(6, &lease)
    }
  }

  /// Answered in the order of the keys, and linearizably.
  struct RangeRequest: ProtobufMessage {
    var key: [UInt8] = []
    /// The first key behind the range; empty for the one key.
    var rangeEnd: [UInt8] = []
    /// 0 for all.
    var limit: Int64 = 0
    /// 0 for the newest.
    var revision: Int64 = 0
    var keysOnly = false

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &key)
      try fields.field(2, &rangeEnd)
      try fields.field(3, &limit)
      try fields.field(4, &revision)
      try fields.field(8, &keysOnly)
    }
  }

  struct RangeResponse: ProtobufMessage {
    var header = ResponseHeader()
    var kvs: [KeyValue] = []
    var more = false

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &header)
      try fields.field(2, &kvs)
      try fields.field(3, &more)
    }
  }

  struct PutRequest: ProtobufMessage {
    var key: [UInt8] = []
    var value: [UInt8] = []
    /// 0 for none.
    var lease: Int64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &key)
      try fields.field(2, &value)
      try fields.field(3, &lease)
    }
  }

  struct DeleteRangeRequest: ProtobufMessage {
    var key: [UInt8] = []
    /// The first key behind the range; empty for the one key.
    var rangeEnd: [UInt8] = []

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &key)
      try fields.field(2, &rangeEnd)
    }
  }

  /// One of the three.
  struct RequestOp: ProtobufMessage {
    var range: RangeRequest?
    var put: PutRequest?
    var delete: DeleteRangeRequest?

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &range)
      try fields.field(2, &put)
      try fields.field(3, &delete)
    }

    static func range(_ key: [UInt8]) -> RequestOp { RequestOp(range: RangeRequest(key: key)) }
    static func delete(_ key: [UInt8]) -> RequestOp { RequestOp(delete: DeleteRangeRequest(key: key)) }
    static func put(_ key: [UInt8], _ value: [UInt8], lease: Int64 = 0) -> RequestOp {
      RequestOp(put: PutRequest(key: key, value: value, lease: lease))
    }
  }

  struct ResponseOp: ProtobufMessage {
    var range: RangeResponse?

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &range)
    }
  }

  /// That a key's revision equals the one given. A key that is not there has revision 0.
  struct Compare: ProtobufMessage {
    enum Target: Int32 {
      case version = 0
      case create = 1
      case mod = 2
      case value = 3
    }

    var target = Target.version
    var key: [UInt8] = []
    var createRevision: Int64 = 0
    var modRevision: Int64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      // The result that is compared with, field 1, is EQUAL where it is not named.
      try fields.field(2, &target)
      try fields.field(3, &key)
      try fields.field(5, &createRevision)
      try fields.field(6, &modRevision)
    }

    static func created(_ key: [UInt8], at revision: Int64) -> Compare {
      Compare(target: .create, key: key, createRevision: revision)
    }
    static func modified(_ key: [UInt8], at revision: Int64) -> Compare {
      Compare(target: .mod, key: key, modRevision: revision)
    }
  }

  struct TxnRequest: ProtobufMessage {
    var compare: [Compare] = []
    var success: [RequestOp] = []
    var failure: [RequestOp] = []

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &compare)
      try fields.field(2, &success)
      try fields.field(3, &failure)
    }
  }

  struct TxnResponse: ProtobufMessage {
    var header = ResponseHeader()
    var succeeded = false
    var responses: [ResponseOp] = []

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &header)
      try fields.field(2, &succeeded)
      try fields.field(3, &responses)
    }
  }

  /// Forgets what keys were before the revision.
  struct CompactionRequest: ProtobufMessage {
    var revision: Int64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &revision)
    }
  }

  struct LeaseGrantRequest: ProtobufMessage {
    /// In seconds.
    var ttl: Int64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &ttl)
    }
  }

  struct LeaseGrantResponse: ProtobufMessage {
    var id: Int64 = 0
    /// In seconds; etcd may give more than was asked for.
    var ttl: Int64 = 0
    var error = ""

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(2, &id)
      try fields.field(3, &ttl)
      try fields.field(4, &error)
    }
  }

  /// A question that is about a lease and nothing else: to keep it, or to end it.
  struct LeaseRequest: ProtobufMessage {
    var id: Int64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
    }
  }

  struct LeaseKeepAliveResponse: ProtobufMessage {
    var header = ResponseHeader()
    /// In seconds; 0 for a lease that has ended.
    var ttl: Int64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &header)
      try fields.field(3, &ttl)
    }
  }

  /// What is answered and holds nothing that is looked at.
  struct Empty: ProtobufMessage {
    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {}
  }

  struct WatchCreateRequest: ProtobufMessage {
    var key: [UInt8] = []
    var startRevision: Int64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &key)
      try fields.field(3, &startRevision)
    }
  }

  struct WatchRequest: ProtobufMessage {
    var create = WatchCreateRequest()

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &create)
    }
  }

  /// That something has happened is all that is asked for.
  struct WatchResponse: ProtobufMessage {
    var isCanceled = false
    var events: [Empty] = []

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(4, &isCanceled)
      try fields.field(11, &events)
    }
  }
}
