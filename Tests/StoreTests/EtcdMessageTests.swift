import HTTP
import Protobuf
import TestKit
import Testing

@testable import Store

/// The bytes that etcd's own clients write for the same, by the numbers of its schemas.
@Suite struct EtcdMessageTests {
  @Test func aTransactionIsWrittenAsOthersWriteIt() throws {
    let transaction = EtcdV3.TxnRequest(
      compare: [.created(Array("l".utf8), at: 5), .modified(Array("m".utf8), at: 300)],
      success: [.put(Array("k".utf8), Array("v".utf8)), .delete(Array("d".utf8))],
      failure: [.range(Array("l".utf8))])
    #expect(
      try transaction.serialized() == [
        // compare: target CREATE, key, create_revision
        0x0A, 7, 0x10, 1, 0x1A, 1, 0x6C, 0x28, 5,
        // compare: target MOD, key, mod_revision
        0x0A, 8, 0x10, 2, 0x1A, 1, 0x6D, 0x30, 0xAC, 2,
        // success: request_put
        0x12, 8, 0x12, 6, 0x0A, 1, 0x6B, 0x12, 1, 0x76,
        // success: request_delete_range
        0x12, 5, 0x1A, 3, 0x0A, 1, 0x64,
        // failure: request_range
        0x1A, 5, 0x0A, 3, 0x0A, 1, 0x6C,
      ])
  }

  @Test func placesAreTheSameInAnyOrder() {
    let place = "https://a:2379,https://b:2379/apus/"
    for other in [place, "https://b:2379,https://a:2379/apus/"] { #expect(EtcdOptions.isSame(place, other)) }
    for other in [
      "https://a:2379/apus/", "https://a:2379,https://b:2379/other/", "https://a:2379,https://c:2379/apus/", "",
    ] {
      #expect(!EtcdOptions.isSame(place, other))
    }
  }

  @Test func questionsAreWrittenAsOthersWriteThem() throws {
    #expect(
      try EtcdV3.RangeRequest(key: [0x61], rangeEnd: [0x62], limit: 500, revision: 9, keysOnly: true).serialized()
        == [0x0A, 1, 0x61, 0x12, 1, 0x62, 0x18, 0xF4, 3, 0x20, 9, 0x40, 1])
    #expect(try EtcdV3.LeaseGrantRequest(ttl: 10).serialized() == [8, 10])
    #expect(try EtcdV3.LeaseRequest(id: 7).serialized() == [8, 7])
    #expect(try EtcdV3.CompactionRequest(revision: 3).serialized() == [8, 3])
    #expect(
      try EtcdV3.WatchRequest(create: .init(key: [0x61], startRevision: 4)).serialized() == [
        0x0A, 5, 0x0A, 1, 0x61, 0x18, 4,
      ])
    #expect(
      try EtcdV3.PutRequest(key: [0x61], value: [0x62], lease: 6).serialized() == [
        0x0A, 1, 0x61, 0x12, 1, 0x62, 0x18, 6,
      ])
  }

  @Test func readsWhatEtcdAnswers() throws {
    // header {cluster_id, member_id, revision 12, raft_term}, a pair, more, count
    let header: [UInt8] = [0x0A, 8, 8, 1, 0x10, 2, 0x18, 12, 0x20, 3]
    let pair: [UInt8] = [0x12, 15, 0x0A, 1, 0x6B, 0x10, 4, 0x18, 5, 0x20, 2, 0x2A, 1, 0x76, 0x30, 0xAC, 2]
    let range = try EtcdV3.RangeResponse(parsing: header + pair + [0x18, 1, 0x20, 9])
    #expect(range.header.revision == 12 && range.header.raftTerm == 3 && range.more)
    #expect(
      range.kvs == [.init(key: [0x6B], createRevision: 4, modRevision: 5, value: [0x76], lease: 300)])
    let answer = try EtcdV3.TxnResponse(parsing: header + [0x10, 1, 0x1A, 2, 0x12, 0, 0x1A, 12, 0x0A, 10] + header)
    #expect(answer.succeeded && answer.header.revision == 12 && answer.responses.count == 2)
    #expect(answer.responses[0].range == nil && answer.responses[1].range?.header.revision == 12)
    #expect(EtcdWrite.Found(answer) == nil, "the first answer is no range")
    let grant = try EtcdV3.LeaseGrantResponse(parsing: header + [0x10, 7, 0x18, 10])
    #expect(grant.id == 7 && grant.ttl == 10 && grant.error.isEmpty)
    #expect(try EtcdV3.LeaseKeepAliveResponse(parsing: header + [0x10, 7]).ttl == 0)
    let watch = try EtcdV3.WatchResponse(parsing: header + [0x18, 1])
    #expect(watch.events.isEmpty && !watch.isCanceled)
    #expect(try EtcdV3.WatchResponse(parsing: [0x5A, 2, 8, 1]).events.count == 1)
    #expect(try EtcdV3.WatchResponse(parsing: [0x20, 1]).isCanceled)
  }

  @Test func keysAreBelowThePrefix() {
    let keys = EtcdKeys(prefix: "/apus/")
    #expect(keys.meta == Array("/apus/meta".utf8) && keys.leader == Array("/apus/leader".utf8))
    #expect(keys.entry("pods/a/b") == Array("/apus/entry/pods/a/b".utf8))
    #expect(keys.name(keys.entry("pods/a/é")) == "pods/a/é")
    for none in ["/apus/entry/", "/apus/meta", "/other/entry/a"] { #expect(keys.name(Array(none.utf8)) == nil) }
    #expect(keys.name(Array("/apus/entry/".utf8) + [0xFF]) == nil)
    let all = keys.entries(after: nil)
    #expect(all.key == Array("/apus/entry/".utf8) && all.rangeEnd == Array("/apus/entry0".utf8))
    #expect(keys.entries(after: [1, 2]).key == [1, 2, 0])
    #expect(keys.others.map(\.key) == [Array("/apus/".utf8), Array("/apus/entry0".utf8)])
    #expect(keys.others.map(\.rangeEnd) == [Array("/apus/entry/".utf8), Array("/apus0".utf8)])
  }

  // MARK: Options

  @Test func optionsSayWhereItIs() throws {
    let options = try EtcdOptions(
      endpoints: "https://a:2379,https://[fd00::1]:2379", prefix: "/x/", authorities: "/ca", certificate: "/c",
      key: "/k")
    #expect(options.place == "https://a:2379,https://[fd00::1]:2379/x/")
    #expect(options.urls.map(\.host) == ["a", "fd00::1"] && options.urls.map(\.port) == [2379, 2379])
    #expect(options.tls?.trustsSystem == false)
    for local in ["http://127.0.0.1:2379", "http://127.9.9.9:1", "http://[::1]:2379", "http://localhost:2379"] {
      #expect(try EtcdOptions(endpoints: local).tls == nil)
    }
  }

  @Test(arguments: [
    "", "https://a", "a:2379", "ftp://a:1", "https://a:2379/x", "https://a:2379?x", "https://a:2379,",
    "https://u@a:2379", "http://10.0.0.1:2379", "http://a:2379", "http://127.evil:2379", "https://a:0",
    "https://a:2379,http://127.0.0.1:2379",
  ]) func whatIsNoAddressIsRefused(_ text: String) {
    #expect(throws: StoreError.self) { try EtcdOptions(endpoints: text) }
  }

  @Test(arguments: ["", "/", "//", "apus/", "/apus", "/a//b/", "/a b/", "/é/"]) func whatIsNoPrefixIsRefused(
    _ text: String
  ) {
    #expect(throws: StoreError.self) { try EtcdOptions(endpoints: "https://a:1", prefix: text) }
  }

  @Test func optionsThatDoNotGoTogetherAreRefused() {
    #expect(throws: StoreError.self) { try EtcdOptions(endpoints: "https://a:1", certificate: "/c") }
    #expect(throws: StoreError.self) { try EtcdOptions(endpoints: "https://a:1", key: "/k") }
    #expect(throws: StoreError.self) { try EtcdOptions(endpoints: "http://127.0.0.1:1", authorities: "/ca") }
    for seconds in [0, 2, 601, -1] {
      #expect(throws: StoreError.self) { try EtcdOptions(endpoints: "https://a:1", leaseSeconds: seconds) }
    }
  }
}
