import OCI
import Testing
import Wire

@testable import Registry

/// The distribution specification's category "push", and what is refused.
@Suite struct PushTests {
  private let blob = Array("some bytes that make a blob".utf8)

  @Test func base() async throws {
    try await TestRegistry.use { registry in
      let response = try await registry.send("GET", "/v2/")
      #expect(response.status == 200)
      #expect(response["docker-distribution-api-version"] == "registry/2.0")
      #expect(try await registry.send("HEAD", "/v2/").status == 200)
      let post = try await registry.send("POST", "/v2/", body: [])
      #expect(post.status == 405 && post["allow"] == "GET, HEAD")
      #expect(try await registry.send("GET", "/elsewhere").status == 404)
    }
  }

  @Test(arguments: [Digest.Algorithm.sha256, .sha512])
  func monolithic(algorithm: Digest.Algorithm) async throws {
    try await TestRegistry.use { registry in
      let digest = Digest(of: blob, algorithm)
      // POST, then PUT with everything.
      let began = try await registry.send("POST", "/v2/a/b/blobs/uploads/", body: [])
      #expect(began.status == 202)
      let location = try #require(began["location"])
      #expect(location.hasPrefix("/v2/a/b/blobs/uploads/"))
      #expect(began["range"] == "0-0")
      #expect(began["docker-upload-uuid"] != nil)
      let done = try await registry.send("PUT", "\(location)?digest=\(digest)", body: blob)
      #expect(done.status == 201)
      #expect(done["location"] == "/v2/a/b/blobs/\(digest)")
      #expect(done["docker-content-digest"] == digest.description)
      #expect(try await registry.send("GET", "/v2/a/b/blobs/\(digest)").body == blob)
      #expect(try await registry.send("GET", location).code == "BLOB_UPLOAD_UNKNOWN")
      // POST alone.
      let single = try await registry.send("POST", "/v2/c/blobs/uploads/?digest=\(digest)", body: blob)
      #expect(single.status == 201 && single["location"] == "/v2/c/blobs/\(digest)")
      #expect(try await registry.send("GET", "/v2/c/blobs/\(digest)").body == blob)
    }
  }

  @Test(arguments: [Digest.Algorithm.sha256, .sha512])
  func chunked(algorithm: Digest.Algorithm) async throws {
    try await TestRegistry.use { registry in
      let digest = Digest(of: blob, algorithm)
      let began = try await registry.send("POST", "/v2/a/blobs/uploads/", body: [])
      var location = try #require(began["location"])
      func patch(_ range: Range<Int>, _ header: String? = nil) async throws -> Response {
        try await registry.send(
          "PATCH", location,
          headers: [("Content-Range", header ?? "\(range.lowerBound)-\(range.upperBound - 1)")],
          body: Array(blob[range]))
      }
      let first = try await patch(0..<10)
      #expect(first.status == 202 && first["range"] == "0-9")
      location = try #require(first["location"])
      // Ahead of its place, and again at the front.
      for wrong in [15..<20, 0..<10] {
        let refused = try await patch(wrong)
        #expect(refused.status == 416 && refused.code == "RANGE_INVALID")
        #expect(refused["range"] == "0-9" && refused["location"] == location)
      }
      let status = try await registry.send("GET", location)
      #expect(status.status == 204 && status["range"] == "0-9" && status["location"] == location)
      let lying = try await patch(10..<15, "10-20")
      #expect(lying.status == 400 && lying.code == "SIZE_INVALID")
      let nonsense = try await patch(10..<15, "ten-twenty")
      #expect(nonsense.status == 400 && nonsense.code == "BLOB_UPLOAD_INVALID")
      #expect(try await patch(10..<20).status == 202)
      // The last chunk out of order, then in order.
      let put = { (start: Int) in
        try await registry.send(
          "PUT", "\(location)?digest=\(digest)", headers: [("Content-Range", "\(start)-\(start + blob.count - 21)")],
          body: Array(blob[20...]))
      }
      #expect(try await put(5).status == 416)
      #expect(try await put(20).status == 201)
      #expect(try await registry.send("GET", "/v2/a/blobs/\(digest)").body == blob)
    }
  }

  @Test func streamed() async throws {
    try await TestRegistry.use { registry in
      let digest = Digest(of: blob)
      let location = try #require(try await registry.send("POST", "/v2/a/blobs/uploads/", body: [])["location"])
      let body =
        Array("5\r\n".utf8) + blob[..<5] + Array("\r\n\(String(blob.count - 5, radix: 16))\r\n".utf8) + blob[5...]
        + Array("\r\n0\r\n\r\n".utf8)
      let patched = try await registry.send("PATCH", location, headers: [("Transfer-Encoding", "chunked")], body: body)
      #expect(patched.status == 202 && patched["range"] == "0-\(blob.count - 1)")
      let done = try await registry.send("PUT", "\(location)?digest=\(digest)", body: [])
      #expect(done.status == 201)
      #expect(try await registry.send("HEAD", "/v2/a/blobs/\(digest)")["content-length"] == "\(blob.count)")
    }
  }

  /// What came before the connection broke is kept, and the client goes on from there.
  @Test func resumed() async throws {
    try await TestRegistry.use { registry in
      let digest = Digest(of: blob)
      let location = try #require(try await registry.send("POST", "/v2/a/blobs/uploads/", body: [])["location"])
      let (head, part) = (
        "PATCH \(location) HTTP/1.1\r\nHost: x\r\nContent-Length: \(blob.count)\r\n\r\n", Array(blob[..<9])
      )
      try await Connection.open(port: registry.port) { wire in
        try wire.send(Array(head.utf8) + part)
      }
      // The server notices the end at its own time; the upload is busy or short until then.
      var status = try await registry.send("GET", location)
      for _ in 0..<2000 where status["range"] != "0-8" { status = try await registry.send("GET", location) }
      #expect(status["range"] == "0-8")
      let patched = try await registry.send(
        "PATCH", location, headers: [("Content-Range", "9-\(blob.count - 1)")], body: Array(blob[9...]))
      #expect(patched.status == 202)
      #expect(try await registry.send("PUT", "\(location)?digest=\(digest)", body: []).status == 201)
    }
  }

  @Test func cancelled() async throws {
    try await TestRegistry.use { registry in
      let location = try #require(try await registry.send("POST", "/v2/a/blobs/uploads/", body: [])["location"])
      // An upload belongs to its repository.
      let id = location.split(separator: "/").last ?? ""
      #expect(try await registry.send("GET", "/v2/b/blobs/uploads/\(id)").status == 404)
      #expect(try await registry.send("DELETE", location).status == 204)
      for method in ["GET", "DELETE"] {
        let gone = try await registry.send(method, location)
        #expect(gone.status == 404 && gone.code == "BLOB_UPLOAD_UNKNOWN")
      }
      #expect(try await registry.send("PATCH", location, body: [1]).code == "BLOB_UPLOAD_UNKNOWN")
      #expect(try await registry.send("GET", "/v2/a/blobs/uploads/..%2f..%2fx").status >= 400)
    }
  }

  @Test func mounted() async throws {
    try await TestRegistry.use { registry in
      let digest = try await registry.push(blob, to: "source")
      let mounted = try await registry.send("POST", "/v2/target/blobs/uploads/?mount=\(digest)&from=source", body: [])
      #expect(mounted.status == 201 && mounted["location"] == "/v2/target/blobs/\(digest)")
      #expect(try await registry.send("GET", "/v2/target/blobs/\(digest)").body == blob)
      let anonymous = try await registry.send("POST", "/v2/third/blobs/uploads/?mount=\(digest)", body: [])
      #expect(anonymous.status == 201)
      // What is not there becomes an upload.
      let missing = Digest(of: [1, 2, 3])
      for query in ["mount=\(missing)&from=source", "mount=\(missing)", "mount=\(digest)&from=nowhere"] {
        let upload = try await registry.send("POST", "/v2/target/blobs/uploads/?\(query)", body: [])
        #expect(upload.status == 202 && upload["location"]?.contains("uploads") == true, "\(query)")
      }
      let bad = try await registry.send("POST", "/v2/target/blobs/uploads/?mount=\(digest)&from=Bad", body: [])
      #expect(bad.status == 400 && bad.code == "NAME_INVALID")
    }
  }

  @Test func badDigests() async throws {
    try await TestRegistry.use { registry in
      let wrong = Digest(of: [1])
      let single = try await registry.send("POST", "/v2/a/blobs/uploads/?digest=\(wrong)", body: blob)
      #expect(single.status == 400 && single.code == "DIGEST_INVALID")
      for text in [
        "sha256:short", "md5:d41d8cd98f00b204e9800998ecf8427e", "nonsense",
        "sha256:" + String(repeating: "G", count: 64),
      ] {
        #expect(
          try await registry.send("POST", "/v2/a/blobs/uploads/?digest=\(text)", body: blob).code == "DIGEST_INVALID")
        #expect(try await registry.send("GET", "/v2/a/blobs/\(text)").code == "DIGEST_INVALID")
        #expect(try await registry.send("GET", "/v2/a/referrers/\(text)").status == 400)
      }
      let location = try #require(try await registry.send("POST", "/v2/a/blobs/uploads/", body: [])["location"])
      #expect(try await registry.send("PUT", location, body: blob).code == "DIGEST_INVALID")
      let put = try await registry.send("PUT", "\(location)?digest=\(wrong)", body: blob)
      #expect(put.status == 400 && put.code == "DIGEST_INVALID")
      #expect(try await registry.send("HEAD", "/v2/a/blobs/\(wrong)").status == 404)
      #expect(try await registry.send("HEAD", "/v2/a/blobs/\(Digest(of: blob))").status == 404, "nothing half stored")
      let begun = try await registry.send("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", body: [])
      #expect(begun.status == 400 && begun.code == "UNSUPPORTED")
    }
  }

  @Test func badNames() async throws {
    try await TestRegistry.use { registry in
      for path in ["/v2/Bad/blobs/uploads/", "/v2/a..b/manifests/x", "/v2/a//b/tags/list", "/v2/a%00b/tags/list"] {
        let response = try await registry.send(path.hasSuffix("uploads/") ? "POST" : "GET", path)
        #expect(response.status == 400 && response.code == "NAME_INVALID", "\(path) \(response.status)")
      }
    }
  }

  @Test func emptyAndLimitedBlobs() async throws {
    try await TestRegistry.use({ $0.limits.blobBytesMax = 1000 }) { registry in
      let empty = try await registry.push([], to: "a")
      let read = try await registry.send("GET", "/v2/a/blobs/\(empty)")
      #expect(read.status == 200 && read.body.isEmpty && read["content-length"] == "0")
      let large = [UInt8](repeating: 7, count: 1001)
      let digest = Digest(of: large)
      let declared = try await registry.send("POST", "/v2/a/blobs/uploads/?digest=\(digest)", body: large)
      #expect(declared.status == 413 && declared.code == "SIZE_INVALID")
      let location = try #require(try await registry.send("POST", "/v2/a/blobs/uploads/", body: [])["location"])
      let body = Array("3e9\r\n".utf8) + large + Array("\r\n0\r\n\r\n".utf8)
      #expect(
        try await registry.send("PATCH", location, headers: [("Transfer-Encoding", "chunked")], body: body).status
          == 413)
    }
  }

  @Test func quotas() async throws {
    try await TestRegistry.use({ $0.quotas = [.init(prefix: "team", bytesMax: 100)] }) { registry in
      try await registry.push([UInt8](repeating: 1, count: 60), to: "team/a")
      let more = [UInt8](repeating: 2, count: 60)
      let refused = try await registry.send("POST", "/v2/team/b/blobs/uploads/?digest=\(Digest(of: more))", body: more)
      #expect(refused.status == 403 && refused.code == "DENIED" && refused.text.contains("quota"))
      try await registry.push(more, to: "other/b")
    }
  }
}
