import KubeTypes
import LinuxSystem

/// The keys of a store in etcd.
struct EtcdKeys: Sendable, Equatable {
  private let prefix: [UInt8]
  /// What all entries' keys begin with.
  private let entries: [UInt8]
  /// The last revision, with the digest of all entries.
  let meta: [UInt8]
  /// Who may write, for as long as its lease lasts.
  let leader: [UInt8]

  /// - Parameter prefix: ends with a slash.
  init(prefix: String) {
    self.prefix = Array(prefix.utf8)
    entries = self.prefix + Array("entry/".utf8)
    meta = self.prefix + Array("meta".utf8)
    leader = self.prefix + Array("leader".utf8)
  }

  func entry(_ key: String) -> [UInt8] { entries + Array(key.utf8) }

  /// The store's key of an entry's; `nil` for one that is none.
  func name(_ key: [UInt8]) -> String? {
    guard key.starts(with: entries), key.count > entries.count else { return nil }
    return String(validating: key.dropFirst(entries.count), as: UTF8.self)
  }

  /// All entries behind the one of the key, or all.
  func entries(after key: [UInt8]?) -> EtcdV3.RangeRequest {
    EtcdV3.RangeRequest(key: key.map { $0 + [0] } ?? entries, rangeEnd: Self.end(of: entries))
  }

  /// What is under the prefix before and behind the entries.
  var others: [EtcdV3.RangeRequest] {
    [
      EtcdV3.RangeRequest(key: prefix, rangeEnd: entries, keysOnly: true),
      EtcdV3.RangeRequest(key: Self.end(of: entries), rangeEnd: Self.end(of: prefix), keysOnly: true),
    ]
  }

  /// The first key that does not begin with the prefix, whose last byte is a slash.
  private static func end(of prefix: [UInt8]) -> [UInt8] { prefix.dropLast() + [UInt8(ascii: "/") + 1] }
}

/// What stands under the key of an entry: a byte for the form, the two revisions, the checksum, the value. Numbers are
/// little-endian.
struct EtcdEntry: Equatable {
  static let format: UInt8 = 1
  static let headBytes = 1 + 8 + 8 + 4

  var created: Int64
  var modified: Int64
  var checksum: UInt32
  var value: [UInt8]

  init(_ entry: Store.Entry) {
    created = entry.createRevision
    modified = entry.revision
    checksum = entry.checksum
    value = entry.value
  }

  init?(_ bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    guard reader.number(UInt8.self) == Self.format, let created = reader.number(Int64.self),
      let modified = reader.number(Int64.self), let checksum = reader.number(UInt32.self)
    else { return nil }
    self.created = created
    self.modified = modified
    self.checksum = checksum
    value = Array(reader.rest)
  }

  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.headBytes + value.count)
    bytes.append(Self.format)
    bytes.append(number: created)
    bytes.append(number: modified)
    bytes.append(number: checksum)
    return bytes + value
  }
}

/// What stands under the key `meta`: a byte for the form, the revision, the digest, who wrote it, the cluster, and the
/// checksum of all that. In the form of objects that were moved away, a zero byte and where they went follow the cluster.
struct EtcdMeta: Sendable, Equatable {
  static let format: UInt8 = 1
  static let movedFormat: UInt8 = 2
  /// What a start on the last one still can count on from.
  private static let revisionMax = Int64.max / 2

  /// The last one.
  var revision: Int64 = 0
  /// Of all entries.
  var digest = RowDigest()
  /// etcd's revision at which the leader that wrote it began to lead: two leaders' writes are never taken for one.
  var writer: Int64 = 0
  /// Whose objects these are.
  var cluster = ""
  /// Where the objects are now: these ones are as they were when they were copied there.
  var movedTo: String?

  var bytes: [UInt8] {
    var bytes = [movedTo == nil ? Self.format : Self.movedFormat]
    bytes.append(number: revision)
    bytes.append(number: digest.value)
    bytes.append(number: writer)
    bytes += cluster.utf8
    if let movedTo { bytes += [0] + movedTo.utf8 }
    bytes.append(number: Checksum(bytes).value)
    return bytes
  }

  init(revision: Int64, digest: RowDigest, writer: Int64, cluster: String, movedTo: String? = nil) {
    self.revision = revision
    self.digest = digest
    self.writer = writer
    self.cluster = cluster
    self.movedTo = movedTo
  }

  init?(_ bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    guard let format = reader.number(UInt8.self), format == Self.format || format == Self.movedFormat,
      let revision = reader.number(Int64.self), (0...Self.revisionMax).contains(revision),
      let digest = reader.number(UInt64.self), let writer = reader.number(Int64.self), reader.rest.count >= 4
    else { return nil }
    let texts = reader.rest.dropLast(4).split(
      separator: 0, maxSplits: format == Self.movedFormat ? 1 : 0, omittingEmptySubsequences: false)
    guard let cluster = texts.first.flatMap({ String(validating: $0, as: UTF8.self) }) else { return nil }
    let movedTo = texts.count == 2 ? String(validating: texts[1], as: UTF8.self) : nil
    self.init(
      revision: revision, digest: RowDigest(value: digest), writer: writer, cluster: cluster, movedTo: movedTo)
    // The one way to write it, its checksum included.
    guard self.bytes == bytes else { return nil }
  }

  /// Whether what was found, or not, is what is expected.
  ///
  /// - Parameters:
  ///   - place: for the error.
  ///   - destination: where the objects may have been moved to already: a copy that was cut short is taken up again.
  /// - Returns: the record as it has to be from now on.
  static func settle(
    _ found: EtcdV3.KeyValue?, _ expected: Store.Expectation, at place: String, movedTo destination: String? = nil
  ) throws(StoreError) -> EtcdMeta {
    guard let found else {
      switch expected {
      case .any: return EtcdMeta(revision: 0, digest: RowDigest(), writer: 0, cluster: "")
      case .new(let cluster): return EtcdMeta(revision: 0, digest: RowDigest(), writer: 0, cluster: cluster)
      case .existing: throw .lost(path: place, reason: "holds no objects")
      }
    }
    guard var meta = EtcdMeta(found.value) else {
      let format = found.value.first ?? 0
      throw .corrupt(
        path: place,
        reason: format > Self.movedFormat
          ? "its format is \(format), this program reads up to \(Self.movedFormat); use a newer program"
          : "the record of its last revision is not what was written")
    }
    if let moved = meta.movedTo, moved != destination {
      throw .lost(path: place, reason: "does not hold the objects any more: they were copied to \(moved.inOneLine)")
    }
    let wanted: String
    switch expected {
    case .any: return meta
    case .new(let cluster), .existing(.some(let cluster), _): wanted = cluster
    case .existing(nil, let cluster): wanted = meta.cluster.isEmpty ? cluster : meta.cluster
    }
    guard meta.cluster.isEmpty || meta.cluster == wanted else {
      throw .foreign(path: place, cluster: meta.cluster, expected: wanted)
    }
    meta.cluster = wanted
    return meta
  }
}

extension String {
  /// A text of somebody else's for a terminal or a log: bounded, and without what would act there.
  var inOneLine: String {
    let max = 300
    var text = String.UnicodeScalarView()
    for scalar in unicodeScalars.prefix(max) {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned: text.append("\u{FFFD}")
      default: text.append(scalar)
      }
    }
    return unicodeScalars.dropFirst(max).isEmpty ? String(text) : String(text) + "…"
  }
}

extension [UInt8] {
  fileprivate mutating func append(number: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
  }
}

/// Reads numbers from the front.
private struct ByteReader {
  private(set) var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  mutating func number<Number: FixedWidthInteger>(_ type: Number.Type) -> Number? {
    let count = MemoryLayout<Number>.size
    guard rest.count >= count else { return nil }
    var value: Number = 0
    for byte in rest.prefix(count).reversed() {
      value = (count > 1 ? value << 8 : 0) | Number(truncatingIfNeeded: byte)
    }
    rest = rest.dropFirst(count)
    return value
  }
}
