import KubeTypes
import TestKit
import Testing

@testable import Store

@Suite struct EtcdRecordTests {
  private let keys = EtcdKeys(prefix: "/apus/")

  private func entry(_ key: String, _ text: String, created: Int64, modified: Int64) -> Store.Entry {
    let value = Array("\(text)@\(modified)".utf8)
    var header = emptyHeader
    header.resourceVersion = modified
    return Store.Entry(
      key: key, object: Object(header: header, bytes: value), revision: modified, createRevision: created,
      checksum: RowChecksum.entry(created: created, modified: modified, key: key, value: value))
  }

  private func pair(_ entry: Store.Entry) -> EtcdV3.KeyValue {
    EtcdV3.KeyValue(key: keys.entry(entry.key), value: EtcdEntry(entry).bytes)
  }

  private func meta(_ entries: [Store.Entry], revision: Int64) -> EtcdMeta {
    var digest = RowDigest()
    for entry in entries { digest.add(entry) }
    return EtcdMeta(revision: revision, digest: digest, writer: 1, cluster: "c1")
  }

  /// The keys of what was read, or what is said of it.
  private func read(_ pairs: [EtcdV3.KeyValue], _ meta: EtcdMeta, others: [[UInt8]] = []) -> [String] {
    do throws(StoreError) {
      var content = EtcdContent(place: "etcd", keys: keys, revision: meta.revision)
      for key in others { content.addOther(key) }
      for pair in pairs { try content.add(pair, textHeader) }
      let entries = try content.finished(meta)
      return entries.slice(entries.range(prefix: "", after: nil), limit: 0).map(\.key)
    } catch {
      guard case .damaged(_, let losses) = error else { return ["\(error)"] }
      return losses
    }
  }

  // MARK: Envelopes

  @Test func entriesAreReadAsTheyWereWritten() {
    let entry = EtcdEntry(entry("a", "text", created: 3, modified: 1 << 40))
    #expect(
      Array(entry.bytes.prefix(17)) == [1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0])
    #expect(EtcdEntry(entry.bytes) == entry)
    for count in 0..<EtcdEntry.headBytes { #expect(EtcdEntry(Array(entry.bytes.prefix(count))) == nil) }
    #expect(EtcdEntry([2] + entry.bytes.dropFirst()) == nil, "another form")
  }

  @Test func theRecordIsReadAsItWasWritten() {
    let meta = EtcdMeta(revision: 1 << 33, digest: RowDigest(value: .max - 5), writer: 77, cluster: "5f0c")
    #expect(EtcdMeta(meta.bytes) == meta)
    for index in meta.bytes.indices {
      var bytes = meta.bytes
      bytes[index] ^= 0x10
      #expect(EtcdMeta(bytes) == nil, "byte \(index)")
    }
    for count in 0..<meta.bytes.count { #expect(EtcdMeta(Array(meta.bytes.prefix(count))) == nil) }
  }

  @Test func objectsThatWereMovedAreNobodysAnyMore() throws {
    var meta = EtcdMeta(revision: 9, digest: RowDigest(value: 3), writer: 7, cluster: "c1")
    meta.movedTo = "host:/var/lib/apus"
    #expect(EtcdMeta(meta.bytes) == meta)
    #expect(meta.bytes[0] == 2, "an earlier program says that it cannot read it")
    for index in meta.bytes.indices {
      var bytes = meta.bytes
      bytes[index] ^= 0x10
      #expect(EtcdMeta(bytes) == nil, "byte \(index)")
    }
    let found = EtcdV3.KeyValue(value: meta.bytes)
    for expected: Store.Expectation in [.any, .new(cluster: "c1"), .existing(cluster: "c1", otherwise: "c1")] {
      let error = #expect(throws: StoreError.self) { try EtcdMeta.settle(found, expected, at: "etcd") }
      #expect(
        error
          == .lost(
            path: "etcd", reason: "does not hold the objects any more: they were copied to host:/var/lib/apus"))
      #expect(throws: StoreError.self) { try EtcdMeta.settle(found, expected, at: "etcd", movedTo: "other:/x") }
      #expect(try EtcdMeta.settle(found, expected, at: "etcd", movedTo: "host:/var/lib/apus") == meta)
    }
  }

  @Test func aRevisionThatCannotBeCountedOnFromIsRefused() {
    func meta(_ revision: Int64) -> EtcdMeta {
      EtcdMeta(revision: revision, digest: RowDigest(), writer: 1, cluster: "c1")
    }
    #expect(EtcdMeta(meta(.max / 2).bytes) != nil)
    for revision: Int64 in [.max, .max / 2 + 1, -1, .min] { #expect(EtcdMeta(meta(revision).bytes) == nil) }
  }

  @Test func anyBytesAreReadOrRefused() {
    var random = SeededGenerator(seed: 9)
    let meta = EtcdMeta(revision: 5, digest: RowDigest(value: 8), writer: 2, cluster: "c").bytes
    let entry = EtcdEntry(entry("a", "text", created: 1, modified: 2)).bytes
    var (read, refused) = (0, 0)
    for _ in 0..<20_000 {
      let record = random.mutated(meta)
      if let found = EtcdMeta(record) {
        #expect(found.bytes == record)
        read += 1
      } else {
        refused += 1
      }
      let row = random.mutated(entry)
      if let found = EtcdEntry(row) {
        #expect(found.bytes == row)
        read += 1
      } else {
        refused += 1
      }
    }
    #expect(read > 1000 && refused > 1000)
  }

  // MARK: What is found

  @Test func theRecordIsComparedWithWhatIsExpected() throws {
    let found = EtcdV3.KeyValue(
      value: EtcdMeta(revision: 9, digest: RowDigest(), writer: 1, cluster: "c1").bytes)
    func settled(_ found: EtcdV3.KeyValue?, _ expected: Store.Expectation) throws(StoreError) -> (String, Int64) {
      let meta = try EtcdMeta.settle(found, expected, at: "etcd")
      return (meta.cluster, meta.revision)
    }
    #expect(try settled(nil, .new(cluster: "c1")) == ("c1", 0))
    #expect(try settled(nil, .any) == ("", 0))
    // A fill that was cut short.
    #expect(try settled(found, .new(cluster: "c1")) == ("c1", 9))
    #expect(try settled(found, .existing(cluster: "c1", otherwise: "x")) == ("c1", 9))
    #expect(try settled(found, .existing(cluster: nil, otherwise: "x")) == ("c1", 9))
    // New and lost are never the same.
    #expect(throws: StoreError.lost(path: "etcd", reason: "holds no objects")) {
      try settled(nil, .existing(cluster: "c1", otherwise: "x"))
    }
    for expected: Store.Expectation in [.new(cluster: "c2"), .existing(cluster: "c2", otherwise: "c2")] {
      #expect(throws: StoreError.foreign(path: "etcd", cluster: "c1", expected: "c2")) {
        try settled(found, expected)
      }
    }
    for value: [UInt8] in [[], [1], [2, 0], [1] + [UInt8](repeating: 0, count: 40)] {
      #expect(throws: StoreError.self) { try settled(EtcdV3.KeyValue(value: value), .any) }
    }
  }

  @Test func whatWasWrittenIsRead() {
    let entries = [entry("a", "x", created: 1, modified: 4), entry("b", "y", created: 2, modified: 2)]
    #expect(read(entries.map(pair), meta(entries, revision: 4), others: [keys.meta, keys.leader]) == ["a", "b"])
    #expect(read([], meta([], revision: 7)) == [])
  }

  @Test func whatWasNotIsNamed() {
    let entries = [entry("a", "x", created: 1, modified: 4), entry("b", "y", created: 2, modified: 2)]
    let record = meta(entries, revision: 4)
    let missing = "the objects are not those of revision 4: some are missing, or older than the record says"
    #expect(read([pair(entries[0])], record) == [missing])
    #expect(read([pair(entry("a", "x", created: 1, modified: 3)), pair(entries[1])], record) == [missing])
    var damaged = pair(entries[0])
    damaged.value[30 - 8] ^= 1
    #expect(read([damaged, pair(entries[1])], record) == ["/apus/entry/a: it does not match its checksum"])
    // The value of one key under another.
    let exchanged = EtcdV3.KeyValue(key: keys.entry("a"), value: EtcdEntry(entries[1]).bytes)
    #expect(read([exchanged, pair(entries[1])], record) == ["/apus/entry/a: it does not match its checksum"])
    #expect(
      read([EtcdV3.KeyValue(key: keys.entry("a"), value: [9])], record)
        == ["/apus/entry/a: it is not in the form in which entries are written"])
    #expect(
      read([pair(entry("a", "x", created: 1, modified: 5))], record)
        == ["/apus/entry/a: it is at revision 5, which is after the last one, 4"])
    #expect(
      read([pair(entry("a", "x", created: 3, modified: 2))], record)
        == ["/apus/entry/a: it is at revision 2, before it was created"])
    #expect(
      read(entries.map(pair), record, others: [Array("/apus/x".utf8)]) == ["/apus/x: it is no key of a store's"])
    #expect(read([pair(entries[1]), pair(entries[0])], record)[0].contains("out of their order"))
    let many = (10..<60).map { EtcdV3.KeyValue(key: keys.entry("k\($0)"), value: []) }
    #expect(read(many, record).count == 21 && read(many, record).last == "and 30 more objects")
  }

  // MARK: Groups

  @Test func eachKeyIsWrittenOnceAsItIsInTheEnd() {
    let first = entry("a", "1", created: 1, modified: 1)
    let second = entry("a", "2", created: 1, modified: 2)
    let other = entry("b", "3", created: 3, modified: 3)
    let gone = entry("b", "gone", created: 3, modified: 4)
    let events: [Store.Event] = [
      .init(kind: .put(created: true), entry: first, previous: nil),
      .init(kind: .put(created: false), entry: second, previous: first),
      .init(kind: .put(created: true), entry: other, previous: nil),
      .init(kind: .delete, entry: gone, previous: other),
    ]
    #expect(
      EtcdGroup(events, keys).operations
        == [.put(keys.entry("a"), EtcdEntry(second).bytes), .delete(keys.entry("b"))])
    #expect(RowDigest().after(events) == meta([second], revision: 4).digest)
  }

  @Test func groupsKeepTheirOperationsWithinTheLimit() {
    func request(_ count: Int) -> Store.Request {
      Store.Request(operations: [Operation](repeating: put("a", "x"), count: count), bytes: 1) { _ in }
    }
    func groups(_ counts: [Int]) -> [[Int]] {
      Committer.groups(counts.map(request), 10).map { $0.map(\.operations.count) }
    }
    #expect(groups([1, 2, 3]) == [[1, 2, 3]])
    #expect(groups([5, 5, 1]) == [[5, 5], [1]])
    #expect(groups([9, 2, 8, 11, 1, 1]) == [[9], [2, 8], [11], [1, 1]])
    #expect(groups([11]) == [[11]])
  }
}
