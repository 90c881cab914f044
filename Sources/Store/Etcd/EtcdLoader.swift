import KubeTypes
import Wire

/// Reads everything that a store has in etcd, and finds out whether it is what was written.
struct EtcdLoader {
  private static let pageCountMax: Int64 = 500
  private static let pageMax: Duration = .seconds(30)
  /// For one page.
  private static let attemptsMax = 20

  let session: EtcdSession
  let time: any TimeSource
  let header: @Sendable ([UInt8]) throws -> ObjectHeader

  /// - Parameters:
  ///   - meta: the record, of the same revision of etcd's.
  ///   - revision: etcd's, at which everything is read.
  /// - Throws: `damaged`, `corrupt`, `io`.
  func load(_ meta: EtcdMeta, at revision: Int64) async throws(StoreError) -> SortedEntries {
    var parts = EtcdContent(place: session.place, keys: session.keys, revision: meta.revision)
    for request in session.keys.others {
      var request = request
      request.revision = revision
      for pair in try await page(&request, limit: Self.pageCountMax).kvs { parts.addOther(pair.key) }
    }
    var after: [UInt8]?
    var limit = Self.pageCountMax
    while true {
      var request = session.keys.entries(after: after)
      request.revision = revision
      let answer = try await page(&request, limit: limit)
      for pair in answer.kvs { try parts.add(pair, header) }
      guard answer.more, let last = answer.kvs.last else { break }
      after = last.key
      limit = min(Self.pageCountMax, 2 * request.limit)
    }
    return try parts.finished(meta)
  }

  /// One page, of as many entries as an answer holds; the request says how many were asked for in the end.
  private func page(
    _ request: inout EtcdV3.RangeRequest, limit: Int64
  ) async throws(StoreError) -> EtcdV3.RangeResponse {
    request.limit = limit
    var attempts = 0
    while true {
      session.leadership.check()
      let failure: EtcdFailure
      do throws(EtcdFailure) {
        return try await session.call(EtcdV3.range, bytes: EtcdClient.bytes(request), deadline: Self.pageMax)
      } catch {
        failure = error
      }
      attempts += 1
      switch failure {
      case .tooLarge where request.limit > 1: request.limit /= 2
      case .unknown, .untrusted, .notBegun:
        guard attempts < Self.attemptsMax else { fallthrough }
        do { try await time.sleep(for: .milliseconds(250)) } catch { throw .closed }
      default: throw .io("\(session.place) cannot be read: \(failure.reason)")
      }
    }
  }
}

/// What was read so far, with what is wrong with it. A value apart from IO.
struct EtcdContent {
  private let place: String
  private let keys: EtcdKeys
  /// The newest that an entry may have.
  private let revision: Int64
  private var entries = SortedEntries()
  private var digest = RowDigest()
  private var damaged = Losses()
  private var others = Losses()
  private var last: [UInt8] = []

  init(place: String, keys: EtcdKeys, revision: Int64) {
    self.place = place
    self.keys = keys
    self.revision = revision
  }

  /// A key that is no entry's.
  mutating func addOther(_ key: [UInt8]) {
    if key != keys.meta, key != keys.leader {
      others.add("\(String(decoding: key, as: UTF8.self).inOneLine): it is no key of a store's")
    }
  }

  /// The next one, in the order of the keys.
  mutating func add(
    _ pair: EtcdV3.KeyValue, _ header: ([UInt8]) throws -> ObjectHeader
  ) throws(StoreError) {
    guard last.isEmpty || last.lexicographicallyPrecedes(pair.key) else {
      throw .corrupt(path: place, reason: "etcd gives its keys out of their order")
    }
    last = pair.key
    let shown = String(decoding: pair.key, as: UTF8.self).inOneLine
    guard let key = keys.name(pair.key) else {
      damaged.add("\(shown): its key is none")
      return
    }
    guard let row = EtcdEntry(pair.value) else {
      damaged.add("\(shown): it is not in the form in which entries are written")
      return
    }
    let checksum = RowChecksum.entry(created: row.created, modified: row.modified, key: key, value: row.value)
    let reason: String
    if checksum != row.checksum {
      reason = "it does not match its checksum"
    } else if row.created < 1 || row.created > row.modified {
      reason = "it is at revision \(row.modified), before it was created"
    } else if row.modified > revision {
      reason = "it is at revision \(row.modified), which is after the last one, \(revision)"
    } else {
      do {
        let header = try header(row.value)
        if header.resourceVersion == row.modified {
          let entry = Store.Entry(
            key: key, object: Object(header: header, bytes: row.value), revision: row.modified,
            createRevision: row.created, checksum: checksum)
          entries.append(entry)
          digest.add(entry)
          return
        }
        reason = "its metadata says revision \(header.resourceVersion), its record \(row.modified)"
      } catch {
        reason = "its value cannot be read: \("\(error)".inOneLine)"
      }
    }
    damaged.add("\(shown): \(reason)")
  }

  /// - Throws: `damaged`, with a line for each loss.
  func finished(_ meta: EtcdMeta) throws(StoreError) -> SortedEntries {
    var losses = damaged.lines(of: "objects") + others.lines(of: "keys")
    if damaged.count == 0, digest != meta.digest {
      losses.append(
        "the objects are not those of revision \(meta.revision): some are missing, or older than the record says")
    }
    guard losses.isEmpty else { throw .damaged(path: place, losses: losses) }
    return entries
  }
}

/// A bounded number of them by name, and how many there are.
private struct Losses {
  private static let namedMax = 20
  private var named: [String] = []
  private(set) var count = 0

  mutating func add(_ line: @autoclosure () -> String) {
    if count < Self.namedMax { named.append(line()) }
    count += 1
  }

  func lines(of kind: String) -> [String] {
    named + (count > Self.namedMax ? ["and \(count - Self.namedMax) more \(kind)"] : [])
  }
}
