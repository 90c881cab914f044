import Glibc
import OCI
import TestKit
import Testing
import Wire

@testable import Registry

/// The connection: keep-alive, pipelining, early answers, deadlines, limits.
@Suite struct HTTPTests {
  @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
    try await TestRegistry.use { registry in
      let image = try await registry.pushImage("a", "1")
      let blob = try await registry.push([UInt8](repeating: 3, count: 300_000), to: "a")
      let responses = try await Connection.open(port: registry.port) { wire in
        try wire.send(
          "GET /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\nHEAD /v2/a/blobs/\(blob) HTTP/1.1\r\nHost: x\r\n\r\n"
            + "GET /v2/a/blobs/\(blob) HTTP/1.1\r\nHost: x\r\n\r\nGET /v2/none/tags/list HTTP/1.1\r\nHost: x\r\n\r\n"
            + "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        return [
          try wire.response(), try wire.response(isHead: true), try wire.response(), try wire.response(),
          try wire.response(),
        ]
      }
      #expect(responses.map(\.status) == [200, 200, 200, 404, 200])
      #expect(responses[0].body == image.bytes)
      #expect(responses[2].body == [UInt8](repeating: 3, count: 300_000))
    }
  }

  @Test func manyRequestsOnOneConnection() async throws {
    try await TestRegistry.use { registry in
      let port = registry.port
      let count = try await Connection.open(port: port) { wire in
        var good = 0
        for index in 0..<200 {
          let bytes = Array("blob \(index)".utf8)
          try wire.send(
            Array(
              "POST /v2/a/blobs/uploads/?digest=\(Digest(of: bytes)) HTTP/1.1\r\nHost: x\r\nContent-Length: \(bytes.count)\r\n\r\n"
                .utf8) + bytes)
          if try wire.response().status == 201 { good += 1 }
        }
        return good
      }
      #expect(count == 200)
    }
  }

  /// A client that asks for permission gets the refusal instead, and does not send its layer for nothing.
  @Test func expectContinue() async throws {
    try await TestRegistry.use { registry in
      let bytes = [UInt8](repeating: 5, count: 100_000)
      let statuses = try await Connection.open(port: registry.port) { wire in
        try wire.send(
          "POST /v2/a/blobs/uploads/?digest=\(Digest(of: bytes)) HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            + "Content-Length: \(bytes.count)\r\n\r\n")
        let first = try wire.response().status
        try wire.send(bytes)
        return [first, try wire.response().status]
      }
      #expect(statuses == [100, 201])
      let refused = try await Connection.open(port: registry.port) { wire in
        try wire.send(
          "POST /v2/BAD/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n")
        let response = try wire.response()
        return (response.status, response["connection"], try wire.isAtEnd)
      }
      #expect(refused.0 == 400 && refused.1 == "close" && refused.2)
    }
  }

  /// A small body that nobody wants is dropped and the connection goes on; a large one ends it.
  @Test func bodiesThatNobodyWants() async throws {
    try await TestRegistry.use { registry in
      let statuses = try await Connection.open(port: registry.port) { wire in
        try wire.send("GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        try wire.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        return [try wire.response().status, try wire.response().status]
      }
      #expect(statuses == [200, 200])
      let large = try await Connection.open(port: registry.port) { wire in
        try wire.send("GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        let response = try wire.response()
        return (response.status, response["connection"])
      }
      #expect(large.0 == 200 && large.1 == "close")
    }
  }

  /// Many clients read only when they have sent everything: they get the refusal, and no reset.
  @Test func refusalsInTheMiddleAreRead() async throws {
    try await TestRegistry.use({ $0.limits.blobBytesMax = 1 << 20 }) { registry in
      let location = try #require(try await registry.send("POST", "/v2/a/blobs/uploads/", body: [])["location"])
      let size = 24 << 20
      let (status, connection) = try await Connection.open(port: registry.port) { wire in
        try wire.send("PATCH \(location) HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        try wire.send(Array("\(String(size, radix: 16))\r\n".utf8) + [UInt8](repeating: 1, count: size))
        try wire.send("\r\n0\r\n\r\n")
        let response = try wire.response()
        return (response.status, response["connection"])
      }
      #expect(status == 413 && connection == "close")
    }
  }

  @Test func idleConnectionsAreClosed() async throws {
    try await TestRegistry.use({ $0.limits.idle = .seconds(1) }) { registry in
      for text in ["", "GET /v2/ HT"] {
        let isClosed = try await Connection.open(port: registry.port) { wire in
          try wire.send(text)
          return try wire.isAtEnd
        }
        #expect(isClosed)
      }
    }
  }

  @Test func stalledBodiesAreGivenUp() async throws {
    try await TestRegistry.use({ $0.limits.stall = .seconds(1) }) { registry in
      let status = try await Connection.open(port: registry.port) { wire in
        try wire.send(
          "POST /v2/a/blobs/uploads/?digest=\(Digest(of: [])) HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        return try wire.response().status
      }
      #expect(status == 408)
    }
  }

  /// Who comes last is served: who has waited longest goes.
  @Test func connectionsAreLimited() async throws {
    try await TestRegistry.use({ $0.limits.connectionsMax = 2 }) { registry in
      let port = registry.port
      let (isClosed, status) = try await Connection.open(port: port) { first in
        try first.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        _ = try first.response()
        let second = try Connection(port: port)
        defer { second.close() }
        try second.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        return (try first.isAtEnd, try second.response().status)
      }
      #expect(isClosed && status == 200)
    }
  }

  @Test func brokenHTTPIsRefused() async throws {
    try await TestRegistry.use { registry in
      var random = SeededGenerator(seed: 5)
      for text in [
        "nonsense\r\n\r\n", "GET /v2/ HTTP/9.9\r\n\r\n", "GET  HTTP/1.1\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /v2/ HTTP/1.1\r\nX: " + String(repeating: "a", count: 200_000) + "\r\n\r\n",
      ] {
        _ = try? await Connection.open(port: registry.port) { wire in
          try wire.send(text)
          return try wire.response().status
        }
      }
      for _ in 0..<50 {
        let bytes = (0..<Int.random(in: 1...200, using: &random)).map { _ in
          UInt8.random(in: .min ... .max, using: &random)
        }
        _ = try? await Connection.open(port: registry.port) { wire in
          try wire.send(bytes + Array("\r\n\r\n".utf8))
          return try wire.response().status
        }
      }
      let after = try await registry.send("GET", "/v2/")
      #expect(after.status == 200, "it is still there")
    }
  }

  /// More than fits in memory limits anywhere: pushed and pulled through buffers of fixed size.
  @Test func largeBlobs() async throws {
    try await TestRegistry.use { registry in
      let bytes = [UInt8](unsafeUninitializedCapacity: 24 << 20) { buffer, count in
        for index in 0..<(24 << 20) { buffer[index] = UInt8(truncatingIfNeeded: index &* 31 >> 3) }
        count = 24 << 20
      }
      let digest = try await registry.push(bytes, to: "large")
      #expect(try await registry.send("GET", "/v2/large/blobs/\(digest)").body == bytes)
    }
  }
}
