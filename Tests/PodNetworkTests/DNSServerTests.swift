import ControllerKit
import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import Schema
import Testing
import Wire

@testable import PodNetwork

/// Two servers share sockets, as two processes do while the one hands over to the other.
@Suite struct DNSServerTests {
  /// An address of the test process's own.
  private func address(_ number: UInt8) -> IPAddress {
    IPAddress(bytes: [127, UInt8(getpid() >> 8 & 0x7F), UInt8(getpid() & 0xFF), number])
  }

  private func question(_ name: String, id: UInt16) -> [UInt8] {
    let message = DNSServer.message(asking: DNSQuestion(name: DNSName(name), type: DNSType.a, class: 1))
    return [UInt8(id >> 8), UInt8(truncatingIfNeeded: id)] + message.dropFirst(2)
  }

  private func started(_ sockets: DataPlaneSockets, resolverFile: String) async -> Task<Void, any Error> {
    let records = ClusterRecords(
      domain: "cluster.local", informers: InformerSet(client: NoAPI(), time: SystemClock()))
    let server = DNSServer(
      addresses: [address(1)], port: 5300, sockets: sockets, records: records, localRanges: [],
      resolverFile: resolverFile, resolverPort: 5301, time: SystemClock())
    let (answering, answers) = AsyncStream<Void>.makeStream()
    let running = Task {
      defer { answers.finish() }
      try await server.run { answers.finish() }
    }
    for await _ in answering {}
    return running
  }

  @Test func whatWasAskedIsAnsweredByTheOneThatTookIt() async throws {
    var template = Array("/tmp/apus-dns-XXXXXX".utf8CString)
    let folder = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    defer { try? Directory.removeTree(folder) }
    let file = folder + "/resolv.conf"
    try DurableFile.write(Array("nameserver \(address(2))\n".utf8), to: file)
    let upstream = try AsyncDescriptor(
      owning: ServerSocket(.udp, address(2), port: 5301).open().duplicate())
    let named = DNSServer.sockets(address(1), port: 5300)
    let sockets = DataPlaneSockets(Set(named), inherited: [])

    let old = await started(sockets, resolverFile: file)
    // A question that it has forwarded, and a connection over which it has answered.
    let waiting = try client(named[0])
    try await waiting.write(question("example.org", id: 1))
    try await upstream.ready(.readable, .now + .seconds(20))
    let connection = try client(named[1])
    try await askOverTCP(connection, id: 2)

    let new = await started(sockets, resolverFile: file)
    old.cancel()
    let asking = try client(named[0])
    for id in UInt16(3)..<200 {
      try await asking.write(question("web.default.svc.cluster.local", id: id))
      #expect(try await asking.read(deadline: .now + .seconds(20)).prefix(2) == [UInt8(id >> 8), UInt8(id & 0xFF)])
    }
    for id in UInt16(200)..<220 {
      let another = try client(named[1])
      try await askOverTCP(another, id: id)
      another.close()
    }
    // The old one has not gone before its work is done, whatever the other name server says, or does not say.
    #expect(try await waiting.read(deadline: .now + .seconds(20)).prefix(2) == [0, 1])
    connection.close()
    await #expect(throws: CancellationError.self) { try await old.value }
    // Nothing of the sockets is closed with it.
    try await asking.write(question("web.default.svc.cluster.local", id: 300))
    #expect(try await asking.read(deadline: .now + .seconds(20)).prefix(2) == [1, 44])
    new.cancel()
    await #expect(throws: CancellationError.self) { try await new.value }
  }

  private func client(_ target: ServerSocket) throws -> AsyncDescriptor {
    let type = target.kind == .udp ? SOCK_DGRAM : SOCK_STREAM
    let fd = socket(AF_INET, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var storage = sockaddr_storage()
    let length = target.address.write(to: &storage, port: target.port)
    let isConnected = withUnsafePointer(to: storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, length) == 0 }
    }
    let descriptor = try AsyncDescriptor(owning: fd)
    guard isConnected else { throw SystemError.last("connect to \(target)") }
    return descriptor
  }

  private func askOverTCP(_ connection: AsyncDescriptor, id: UInt16) async throws {
    let message = question("web.default.svc.cluster.local", id: id)
    try await connection.write([0, UInt8(message.count)] + message)
    var answer: [UInt8] = []
    while answer.count < 4 {
      let more = try await connection.read(deadline: .now + .seconds(20))
      try #require(!more.isEmpty, "the connection is closed without an answer")
      answer += more
    }
    #expect(answer[2...3].elementsEqual([UInt8(id >> 8), UInt8(id & 0xFF)]))
  }
}

/// Nothing follows anything here.
private struct NoAPI: KubeClient {
  func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws -> Object {
    throw CancellationError()
  }
  func list(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> ObjectList {
    throw CancellationError()
  }
  func watch(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> WatchStream {
    throw CancellationError()
  }
  func create(
    _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object { throw CancellationError() }
  func update(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object { throw CancellationError() }
  func patch(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
    body: JSON, options: WriteOptions
  ) async throws -> Object { throw CancellationError() }
  func delete(
    _ resource: GroupVersionResource, namespace: String?, name: String, options: DeleteOptions
  ) async throws -> Object { throw CancellationError() }
}
