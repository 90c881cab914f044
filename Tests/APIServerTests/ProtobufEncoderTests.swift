import Glibc
import HTTP
import KubeClient
import KubeTypes
import NIOCore
import Protobuf
import Schema
import Store
import Synchronization
import TestKit
import Testing
import Wire

@testable import APIServer

@Suite struct ProtobufEncoderTests {
  private let schemas = SchemaRegistry.builtin
  private let layouts = ProtobufLayouts()

  private func kind(_ group: String, _ version: String, _ kind: String) throws -> KindSchema {
    try #require(schemas.kind(GroupVersionKind(group: group, version: version, kind: kind)))
  }

  private func layout(_ group: String, _ version: String, _ name: String) throws -> ProtobufLayout {
    try #require(layouts.of(kind(group, version, name)))
  }

  // MARK: Every kind

  /// An object with every member that its declaration has.
  private struct Sampler {
    private var count = 0

    mutating func object(_ kind: KindSchema) -> JSON {
      var members = JSONObject()
      for field in kind.root.fields { members[field.name] = value(field.type, 0) }
      members["apiVersion"] = .string(kind.groupVersion.description)
      members["kind"] = .string(kind.kind)
      return .object(members)
    }

    private mutating func value(_ type: TypeSchema, _ depth: Int) -> JSON {
      count += 1
      switch type {
      case .string: return .string("text \(count) \"é\u{1F600}\n")
      case .bool: return true
      case .int32: return .int(count % 2 == 0 ? Int64(Int32.min) : Int64(Int32.max))
      case .int64: return .int(count % 2 == 0 ? .min : .max)
      case .double: return .double(1.5)
      case .bytes: return "AQI="
      case .quantity: return "1500m"
      case .intOrString: return count % 2 == 0 ? -80 : "web"
      case .time: return count % 2 == 0 ? "2024-05-06T07:08:09Z" : "1960-01-02T03:04:05Z"
      case .microTime: return count % 2 == 0 ? "2024-05-06T07:08:09.123456Z" : "1960-01-02T03:04:05.000001Z"
      case .duration: return "1h2m3.5s"
      case .any, .object: return ["a": [1, "x", nil, ["b": true]]]
      case .list(let element):
        if case .structure = element { return [value(element, depth)] }
        return [value(element, depth), value(element, depth)]
      case .map(let element): return ["k": value(element, depth), "l \"\u{E9}": value(element, depth)]
      case .structure(let structure):
        var members = JSONObject()
        // What a part of an object is, protobuf does not say (upstream's neither).
        for field in structure.fields where depth < 20 && field.number > 0 {
          members[field.name] = value(field.type, depth + 1)
        }
        return .object(members)
      }
    }
  }

  @Test func whatIsWrittenOfEachKindIsReadAgain() throws {
    var written = 0
    for kind in schemas.kinds {
      guard let layout = layouts.of(kind) else { continue }
      var sampler = Sampler()
      let object = sampler.object(kind)
      let bytes = try ProtobufEncoder.envelope(object.serialized(), layout)
      let read = try ProtobufBody.parse(bytes, schemas)
      // The objects are too large to be shown.
      let isSame = read == object
      #expect(isSame, "\(kind.groupVersionKind)")
      written += 1
    }
    #expect(written > 60)
    // Only these have none.
    #expect(schemas.kinds.filter { layouts.of($0) == nil }.map(\.kind) == ["CustomResourceDefinition"])
  }

  @Test func customResourceDefinitionsAreNotReadEither() throws {
    var type = ProtobufWriter()
    type.bytes(1, "apiextensions.k8s.io/v1".utf8)
    type.bytes(2, "CustomResourceDefinition".utf8)
    var unknown = ProtobufWriter()
    unknown.bytes(1, type.bytes)
    let body = ProtobufBody.magic + unknown.bytes
    #expect { try ProtobufBody.parse(body, schemas) } throws: { ($0 as? KubeError)?.code == 415 }
  }

  // MARK: Bytes

  @Test func aConfigMapIsWrittenAsUpstreamWritesIt() throws {
    let object: JSON = [
      "kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": "a", "creationTimestamp": nil],
      "data": ["k": "v"], "immutable": true, "unknown": ["x": [1, "]"]],
    ]
    let raw: [UInt8] =
      [0x0A, 0x03, 0x0A, 0x01, 0x61] + [0x12, 0x06, 0x0A, 0x01, 0x6B, 0x12, 0x01, 0x76] + [0x20, 0x01]
    let expected =
      [0x6B, 0x38, 0x73, 0, 0x0A, 15, 0x0A, 2] + Array("v1".utf8) + [0x12, 9] + Array("ConfigMap".utf8)
      + [0x12, UInt8(raw.count)] + raw + [0x1A, 0, 0x22, 0]
    let layout = try layout("", "v1", "ConfigMap")
    #expect(try ProtobufEncoder.envelope(object.serialized(), layout) == expected)
    // White space, and members in another order.
    let text = " { \"immutable\" : true ,\n\"data\":{ \"k\" : \"v\" } , \"metadata\":{\"name\":\"a\"}}\t"
    let other = try ProtobufEncoder.envelope(Array(text.utf8), layout)
    #expect(other.count == expected.count && other != expected)
    #expect(try ProtobufBody.parse(other, schemas)["data"] == ["k": "v"])
  }

  @Test func metadataIsWrittenAlone() throws {
    let object: JSON = ["metadata": ["name": "a", "labels": ["x": "y"]], "data": ["k": "v"]]
    let bytes = try ProtobufEncoder.envelope(object.serialized(), layout("", "v1", "ConfigMap"), .metadata)
    #expect(
      try ProtobufBody.parse(bytes, schemas) == [
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": ["name": "a", "labels": ["x": "y"]],
      ])
  }

  @Test func refusalsAreOfTheCoresVersion() throws {
    let status = KubeError.notFound(Fixture.resource("pods"), "a").status
    let read = try ProtobufBody.parse(
      ProtobufEncoder.envelope(status.serialized(), layout("meta.k8s.io", "v1", "Status")), schemas)
    #expect(read["apiVersion"] == "v1" && read["kind"] == "Status")
    #expect(read["message"] == status["message"] && read["code"] == 404 && read["details"] == status["details"])
  }

  @Test func stringsAreWrittenAsTheyAreMeant() throws {
    let layout = try layout("", "v1", "ConfigMap")
    func read(_ literal: String) throws -> JSON? {
      let bytes = try ProtobufEncoder.envelope(Array("{\"data\":{\"k\":\"\(literal)\"}}".utf8), layout)
      return try ProtobufBody.parse(bytes, schemas).at("data", "k")
    }
    #expect(try read(#"a\"\\\/\b\f\n\r\té\ud83d\ude00z"#) == .string("a\"\\/\u{8}\u{C}\n\r\t\u{E9}\u{1F600}z"))
    for broken in [#"\ud83d"#, #"\ud83dA"#, #"\ude00"#, #"\u12"#, #"\x"#] {
      #expect(throws: ProtobufError.self) { try read(broken) }
    }
    for count in [0, 127, 128, 16_383, 16_384, 2_097_152] {
      let text = String(repeating: "x", count: count)
      #expect(try read(text) == .string(text), "\(count)")
    }
  }

  // MARK: What cannot be written

  @Test func valuesThatDoNotFitAreRefused() throws {
    let pod = try layout("", "v1", "Pod")
    for text in [
      #"{"spec":{"priority":2147483648}}"#, #"{"spec":{"priority":1.5}}"#, #"{"spec":{"priority":"1"}}"#,
      #"{"spec":{"hostNetwork":1}}"#, #"{"spec":{"containers":{}}}"#, #"{"spec":[]}"#, #"{"spec":"x"}"#,
      #"{"metadata":{"labels":{"a":1}}}"#,
      #"{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":4294967296}}}]}}"#, "[]", "{", "", "{}x",
      #"{"metadata":{"name":"a"}"#, #"{"metadata":{"name":"a""#, #"{"metadata" {}}"#, #"{"spec":nul}"#,
    ] {
      #expect(throws: ProtobufError.self, "\(text)") { try ProtobufEncoder.envelope(Array(text.utf8), pod) }
    }
    #expect(throws: ProtobufError.self) {
      try ProtobufEncoder.envelope(Array(#"{"data":{"a":"%"}}"#.utf8), layout("", "v1", "Secret"))
    }
  }

  /// Times that are valid and lead out of the years that can be written are refused; those that are there are no times.
  @Test func noTimeKeepsAListFromBeingWritten() async throws {
    let leases = GroupVersionResource(group: "coordination.k8s.io", version: "v1", resource: "leases")
    let layout = try layout("coordination.k8s.io", "v1", "Lease")
    try await Fixture.run { fixture in
      for time in ["0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"] {
        let error = await refusal {
          _ = try await fixture.client.create(
            leases, namespace: "default", name: nil, subresource: nil,
            body: ["metadata": ["name": "l"], "spec": ["renewTime": .string(time)]], options: WriteOptions())
        }
        #expect(error?.code == 422 || error?.code == 400, "\(String(describing: error))")
      }
      for time in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1990-12-31T23:59:60Z"] {
        let made = try await fixture.client.create(
          leases, namespace: "default", name: nil, subresource: nil,
          body: ["metadata": ["generateName": "l"], "spec": ["renewTime": .string(time)]], options: WriteOptions())
        let bytes = try ProtobufEncoder.envelope(made.bytes, layout)
        #expect(bytes.count > 60)
      }
    }
    for time in ["00-1-12-31T23:00:00Z", "10000-01-01T00:59:59Z", "yesterday"] {
      let text = "{\"metadata\":{\"name\":\"a\",\"creationTimestamp\":\"\(time)\"}}"
      let read = try ProtobufBody.parse(
        ProtobufEncoder.envelope(Array(text.utf8), self.layout("", "v1", "Pod")), schemas)
      #expect(read.at("metadata", "name") == "a" && read.at("metadata", "creationTimestamp") == .null)
    }
  }

  @Test func manyLargeListsWaitForOneAnother() async {
    let meter = ProtobufListMeter()
    let (begun, begins) = AsyncStream<Void>.makeStream()
    let gate = Flag()
    _ = meter.add {
      begins.yield()
      while !gate.isSet.load(ordering: .acquiring) { sched_yield() }
    }
    for await _ in begun { break }
    let (done, ends) = AsyncStream<Int>.makeStream()
    for number in 0..<64 {
      let isTaken = meter.add { ends.yield(number) }
      #expect(isTaken)
    }
    let isTaken = meter.add { Issue.record("it was refused") }
    #expect(!isTaken)
    gate.isSet.store(true, ordering: .releasing)
    var order: [Int] = []
    for await number in done {
      order.append(number)
      if order.count == 64 { break }
    }
    #expect(order == Array(0..<64))
  }

  private final class Flag: Sendable {
    let isSet = Atomic(false)
  }

  @Test func depthIsBounded() throws {
    let registry = try SchemaRegistry(sources: [
      (
        "deep.v1",
        """
        schema deep.io/v1 as deep

        kind Deep
          @resource deeps deep
          spec Part 1

        struct Part
          part Part? 1 omitempty
        """
      )
    ])
    let kind = try #require(registry.kind(GroupVersionKind(group: "deep.io", version: "v1", kind: "Deep")))
    let layout = try #require(ProtobufLayout(kind))
    func text(_ depth: Int) -> [UInt8] {
      Array(
        ("{\"spec\":" + String(repeating: "{\"part\":", count: depth) + "{}" + String(repeating: "}", count: depth + 1))
          .utf8)
    }
    _ = try ProtobufEncoder.envelope(text(500), layout)
    #expect(throws: ProtobufError.self) { try ProtobufEncoder.envelope(text(100_000), layout) }
  }

  @Test func anyBytesAreWrittenOrRefused() throws {
    var random = SeededGenerator(seed: 5)
    var sampler = Sampler()
    let service = try kind("", "v1", "Service")
    let layout = try #require(layouts.of(service))
    let text = sampler.object(service).serialized()
    var (written, refused) = (0, 0)
    for _ in 0..<4000 {
      do throws(ProtobufError) {
        let bytes = try ProtobufEncoder.envelope(random.mutated(text), layout)
        written += 1
        #expect(bytes.starts(with: ProtobufBody.magic))
      } catch {
        refused += 1
      }
    }
    #expect(written > 400 && refused > 400)
  }

  // MARK: Lists and watches

  /// The messages under a number.
  private func fields(_ number: Int, _ bytes: ArraySlice<UInt8>) throws -> [ArraySlice<UInt8>] {
    var reader = ProtobufReader(bytes)
    var found: [ArraySlice<UInt8>] = []
    while let field = try reader.next() {
      if field.number == number, case .bytes(let value) = field.value { found.append(value) }
    }
    return found
  }

  @Test func aListIsTheSameAtOnceAndInPieces() async throws {
    try await Fixture.run { fixture in
      for number in 0..<40 {
        _ = try await fixture.create(
          "configmaps",
          [
            "metadata": ["name": .string("n\(number)")],
            "data": ["k": .string(String(repeating: "x", count: number * 50))],
          ])
      }
      let entries = try fixture.store.list(prefix: "configmaps/default/n").entries
      let layout = try layout("", "v1", "ConfigMap")
      var metadata = ProtobufWriter()
      metadata.bytes(2, "77".utf8)
      for extent: ProtobufEncoder.Extent in [.object, .metadata] {
        for entries in [entries, Array(entries.prefix(1)), []] {
          let whole = try ProtobufListBody.bytes(metadata.bytes, entries, layout, extent)
          let body = try ProtobufListBody.measured(metadata.bytes, entries, layout, extent)
          var pieces: [UInt8] = []
          var count = 0
          var isEnded = false
          while !isEnded {
            count += 1
            switch body.next(bytes: 4096, ByteBufferAllocator()) {
            case .bytes(let piece): pieces += Array(piece.readableBytesView)
            case .end(let piece):
              if let piece { pieces += Array(piece.readableBytesView) }
              isEnded = true
            case .nothingYet: Issue.record("a list waits for nobody")
            }
          }
          #expect(pieces == whole && body.length == whole.count)
          #expect(count > 5 || entries.count < 40 || extent == .metadata)
          // Each item is what the object itself would be.
          let list = try #require(fields(2, whole[4...]).first)
          let listMetadata = try #require(fields(1, list).first)
          #expect(try fields(2, listMetadata).map { Array($0) } == [Array("77".utf8)])
          let items = try fields(2, list)
          #expect(items.count == entries.count)
          for (item, entry) in zip(items, entries) {
            let alone = try ProtobufEncoder.envelope(entry.value, layout, extent)
            #expect(try fields(2, alone[4...]).first.map { Array($0) } == Array(item))
          }
        }
      }
    }
  }

  @Test func eventsAreFrames() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("configmaps", ["metadata": ["name": "a"], "data": ["k": "v"]])
      let entry = try #require(fixture.store.get("configmaps/default/a"))
      let kind = try kind("", "v1", "ConfigMap")
      let status = try self.kind("meta.k8s.io", "v1", "Status")
      let encoder = WatchEncoder(.protobuf(layouts))
      /// Type and object.
      func read(_ frame: ByteBuffer) throws -> (String, JSON) {
        var frame = frame
        let length = frame.readInteger(as: UInt32.self)
        #expect(length.map { Int($0) } == frame.readableBytes)
        let event = Array(frame.readableBytesView)
        let raw = try #require(fields(2, event[...]).first)
        let object = try #require(fields(1, raw).first)
        return (
          String(decoding: try #require(fields(1, event[...]).first), as: UTF8.self),
          try ProtobufBody.parse(Array(object), schemas)
        )
      }
      let added = encoder.event(.added(entry), kind: kind, status: status)
      let (name, object) = try read(added)
      #expect(name == "ADDED" && object["data"] == ["k": "v"])
      #expect(encoder.event(.added(entry), kind: kind, status: status) == added)
      let modified = try read(encoder.event(.modified(entry), kind: kind, status: status))
      #expect(modified.0 == "MODIFIED")
      let bookmark = try read(
        encoder.event(.bookmark(revision: 9, endsInitialEvents: true), kind: kind, status: status))
      #expect(bookmark.0 == "BOOKMARK" && bookmark.1["kind"] == "ConfigMap")
      #expect(bookmark.1.at("metadata", "resourceVersion") == "9")
      #expect(bookmark.1.at("metadata", "annotations", "k8s.io/initial-events-end") == "true")
      let failed = try read(encoder.event(.failed(.expired("too old")), kind: kind, status: status))
      #expect(failed.0 == "ERROR" && failed.1["kind"] == "Status" && failed.1["code"] == 410)
      // An object that cannot be written is told as an error.
      let broken = try read(encoder.event("ADDED", Array("{\"data\":1}".utf8), kind, status: status))
      #expect(broken.0 == "ERROR" && broken.1["code"] == 500)
    }
  }
}
