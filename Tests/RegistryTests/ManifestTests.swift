import Content
import LinuxSystem
import OCI
import Testing
import Wire

@testable import Registry

/// The specification's categories "pull", "content discovery" and "content management" for manifests, and referrers.
@Suite struct ManifestTests {
  @Test func pushAndPull() async throws {
    try await TestRegistry.use { registry in
      let image = try await registry.pushImage("a/b", "latest")
      #expect(image.response.status == 201, "\(image.response.text)")
      #expect(image.response["location"] == "/v2/a/b/manifests/\(image.digest)")
      #expect(image.response["docker-content-digest"] == image.digest.description)
      #expect(image.response["oci-subject"] == nil)
      for reference in ["latest", image.digest.description] {
        let read = try await registry.send("GET", "/v2/a/b/manifests/\(reference)")
        #expect(read.status == 200 && read.body == image.bytes)
        #expect(read["content-type"] == MediaType.manifest)
        #expect(read["docker-content-digest"] == image.digest.description)
        let head = try await registry.send("HEAD", "/v2/a/b/manifests/\(reference)")
        #expect(head.status == 200 && head["content-length"] == "\(image.bytes.count)")
        let same = try await registry.send(
          "GET", "/v2/a/b/manifests/\(reference)", headers: [("If-None-Match", "\"\(image.digest)\"")])
        #expect(same.status == 304 && same.body.isEmpty)
      }
      for reference in ["other", Digest(of: []).description] {
        let missing = try await registry.send("GET", "/v2/a/b/manifests/\(reference)")
        #expect(missing.status == 404 && missing.code == "MANIFEST_UNKNOWN")
        #expect(try await registry.send("HEAD", "/v2/a/b/manifests/\(reference)").status == 404)
      }
      #expect(try await registry.send("GET", "/v2/a/b/manifests/.bad").code == "TAG_INVALID")
      #expect(try await registry.send("GET", "/v2/a/b/manifests/sha256:baddigeststring").code == "DIGEST_INVALID")
    }
  }

  @Test func ranges() async throws {
    try await TestRegistry.use { registry in
      let bytes = (0..<2048).map { UInt8(truncatingIfNeeded: $0) }
      let digest = try await registry.push(bytes, to: "a")
      func read(_ range: String, _ more: [(String, String)] = []) async throws -> Response {
        try await registry.send("GET", "/v2/a/blobs/\(digest)", headers: [("Range", range)] + more)
      }
      let part = try await read("bytes=500-1499")
      #expect(part.status == 206 && part.body == Array(bytes[500..<1500]))
      #expect(part["content-range"] == "bytes 500-1499/2048" && part["content-length"] == "1000")
      #expect(try await read("bytes=-500").body == Array(bytes[1548...]))
      for range in ["bytes=500-0", "bytes=5000-10000"] {
        let refused = try await read(range)
        #expect(refused.status == 416 && refused["content-range"] == "bytes */2048")
      }
      #expect(try await read("bytes=0-1", [("If-Range", "\"other\"")]).status == 200)
      #expect(try await read("bytes=0-1", [("If-None-Match", "\"\(digest)\"")]).status == 304)
      let whole = try await registry.send("GET", "/v2/a/blobs/\(digest)")
      #expect(whole["accept-ranges"] == "bytes" && whole["etag"] == "\"\(digest)\"")
      let missing = try await registry.send("GET", "/v2/a/blobs/\(Digest(of: [9]))")
      #expect(missing.status == 404 && missing.code == "BLOB_UNKNOWN")
    }
  }

  @Test func whatIsNamedMustBeThere() async throws {
    try await TestRegistry.use { registry in
      let (one, two) = (Digest(of: [1]), Digest(of: [2]))
      let manifest = Manifest(
        config: Descriptor(mediaType: MediaType.config, digest: one, size: 1),
        layers: [Descriptor(mediaType: MediaType.layer, digest: two, size: 1)])
      let put = { (name: String) in
        try await registry.send(
          "PUT", "/v2/\(name)/manifests/1", headers: [("Content-Type", MediaType.manifest)],
          body: manifest.json.serialized())
      }
      let refused = try await put("a")
      #expect(refused.status == 404 && refused.code == "MANIFEST_BLOB_UNKNOWN")
      #expect(
        refused.json["errors"]?.array?.first?.at("detail", "digests") == [.string("\(one)"), .string("\(two)")])
      #expect(try await registry.send("GET", "/v2/a/tags/list").code == "NAME_UNKNOWN", "nothing half stored")
      try await registry.registry.reload(
        {
          var configuration = registry.registry.configuration
          configuration.requiresContent = false
          return configuration
        }())
      #expect(try await put("a").status == 201)
    }
  }

  @Test func badManifests() async throws {
    try await TestRegistry.use { registry in
      let image = try await registry.pushImage("a", "1")
      func put(_ body: [UInt8], _ reference: String = "x", type: String = MediaType.manifest) async throws -> Response {
        try await registry.send("PUT", "/v2/a/manifests/\(reference)", headers: [("Content-Type", type)], body: body)
      }
      for text in ["", "{", "[]", "\"x\"", "{}", "{\"schemaVersion\":1}", "{\"schemaVersion\":2,\"config\":{}}"] {
        let refused = try await put(Array(text.utf8))
        #expect(refused.status == 400 && refused.code == "MANIFEST_INVALID", "\(text): \(refused.text)")
      }
      let contradiction = try await put(image.bytes, type: MediaType.index)
      #expect(contradiction.status == 400 && contradiction.code == "MANIFEST_INVALID")
      let wrong = try await put(image.bytes + [0x20], image.digest.description)
      #expect(wrong.status == 400 && wrong.code == "DIGEST_INVALID")
      #expect(try await put(image.bytes, "sha256:baddigeststring").code == "DIGEST_INVALID")
      #expect(try await put(image.bytes, ".x").code == "TAG_INVALID")
      for type in [
        "text/html", "application/" + String(repeating: "x", count: 244), "application/\"x\"", "application/it's",
        "application/a b",
      ] {
        let json: JSON = ["schemaVersion": 2, "manifests": []]
        let refused = try await put(json.serialized(), type: type)
        #expect(refused.status == 400 && refused.code == "MANIFEST_INVALID", "\(type): \(refused.text)")
      }
      let own: JSON = ["schemaVersion": 2, "mediaType": "text/html; x", "manifests": []]
      #expect(try await put(own.serialized(), type: "application/json").code == "MANIFEST_INVALID")
      // Clients without a type get by.
      #expect(try await put(image.bytes, type: "application/json; charset=utf-8").status == 201)
    }
  }

  @Test func largeManifests() async throws {
    try await TestRegistry.use { registry in
      var annotations: [String: String] = [:]
      for index in 0..<390 { annotations["large-annotation-\(index)"] = String(repeating: "A", count: 10_000) }
      let large = try await registry.pushImage("a", "large", annotations: annotations)
      #expect(large.response.status == 201, "\(large.response.text)")
      #expect(try await registry.send("GET", "/v2/a/manifests/large").body == large.bytes)
      for index in 390..<440 { annotations["large-annotation-\(index)"] = String(repeating: "A", count: 10_000) }
      let tooLarge = try await registry.pushImage("a", "larger", annotations: annotations)
      #expect(tooLarge.response.status == 413 && tooLarge.response.code == "SIZE_INVALID")
      let chunked = Array("\(String(5 << 20, radix: 16))\r\n".utf8) + [UInt8](repeating: 0x20, count: 5 << 20)
      let refused = try await registry.send(
        "PUT", "/v2/a/manifests/x", headers: [("Transfer-Encoding", "chunked"), ("Content-Type", MediaType.manifest)],
        body: chunked)
      #expect(refused.status == 413)
    }
  }

  @Test func severalTagsAtOnce() async throws {
    try await TestRegistry.use { registry in
      let image = try await registry.pushImage("a", "digest", query: "?tag=1&tag=1.0&tag=latest")
      #expect(image.response.status == 201)
      #expect(image.response.all("oci-tag") == ["1", "1.0", "latest"])
      #expect(try await registry.send("GET", "/v2/a/manifests/1.0").body == image.bytes)
      #expect(try await registry.pushImage("a", "digest", query: "?tag=.bad").response.code == "TAG_INVALID")
      let many = (0...100).map { "tag=t\($0)" }.joined(separator: "&")
      #expect(try await registry.pushImage("a", "digest", query: "?\(many)").response.status == 414)
      // sha512, which a tag alone cannot say.
      let digest = Digest(of: image.bytes, .sha512)
      let put = try await registry.send(
        "PUT", "/v2/a/manifests/\(digest)?tag=five", headers: [("Content-Type", MediaType.manifest)], body: image.bytes)
      #expect(put.status == 201 && put["docker-content-digest"] == digest.description)
      #expect(try await registry.send("GET", "/v2/a/manifests/five")["docker-content-digest"] == digest.description)
      #expect(try await registry.send("GET", "/v2/a/manifests/\(digest)").body == image.bytes)
    }
  }

  @Test func indexes() async throws {
    try await TestRegistry.use { registry in
      let image = try await registry.pushImage("a", "digest")
      var child = Descriptor(mediaType: MediaType.manifest, digest: image.digest, size: Int64(image.bytes.count))
      child.platform = try Platform(parsing: "linux/amd64")
      for (type, tag) in [(MediaType.index, "oci"), (MediaType.dockerManifestList, "docker")] {
        let index = Index(manifests: [child], mediaType: type).json.serialized()
        let put = try await registry.send(
          "PUT", "/v2/a/manifests/\(tag)", headers: [("Content-Type", type)], body: index)
        #expect(put.status == 201, "\(put.text)")
        let read = try await registry.send("GET", "/v2/a/manifests/\(tag)", headers: [("Accept", type)])
        #expect(read.body == index && read["content-type"] == type)
        // A client that knows no index gets the image for linux/amd64.
        let old = try await registry.send("GET", "/v2/a/manifests/\(tag)", headers: [("Accept", MediaType.manifest)])
        #expect(old.body == image.bytes && old["docker-content-digest"] == image.digest.description)
        let none = try await registry.send("GET", "/v2/a/manifests/\(tag)", headers: [("Accept", "text/html")])
        #expect(none.status == 404 && none.code == "MANIFEST_UNKNOWN")
      }
      let sparse = Index(manifests: [Descriptor(mediaType: MediaType.manifest, digest: Digest(of: [1]), size: 1)])
      let refused = try await registry.send(
        "PUT", "/v2/a/manifests/sparse", headers: [("Content-Type", MediaType.index)], body: sparse.json.serialized())
      #expect(refused.status == 404 && refused.code == "MANIFEST_BLOB_UNKNOWN")
      let empty = Index(manifests: []).json.serialized()
      #expect(
        try await registry.send(
          "PUT", "/v2/a/manifests/empty", headers: [("Content-Type", MediaType.index)], body: empty
        ).status == 201)
    }
  }

  @Test func tagLists() async throws {
    try await TestRegistry.use { registry in
      let unknown = try await registry.send("GET", "/v2/a/tags/list")
      #expect(unknown.status == 404 && unknown.code == "NAME_UNKNOWN")
      let tags = ["1.0", "2.0", "_x", "A", "latest"]
      for tag in tags.reversed() { try await registry.pushImage("a", tag) }
      func list(_ query: String) async throws -> (tags: [String], response: Response) {
        let response = try await registry.send("GET", "/v2/a/tags/list\(query)")
        return (response.json["tags"]?.array?.compactMap(\.string) ?? [], response)
      }
      let all = try await list("")
      #expect(all.tags == tags && all.response["link"] == nil && all.response.json["name"]?.string == "a")
      let page = try await list("?n=2")
      #expect(page.tags == ["1.0", "2.0"])
      #expect(page.response["link"] == "</v2/a/tags/list?n=2&last=2.0>; rel=\"next\"")
      let last = try await list("?n=3&last=2.0")
      #expect(last.tags == ["_x", "A", "latest"] && last.response["link"] == nil)
      #expect(try await list("?last=zzz").tags == [])
      let none = try await list("?n=0")
      #expect(none.response.status == 200 && none.tags == [] && none.response["link"] == nil)
      #expect(try await list("?n=x").response.code == "PAGINATION_NUMBER_INVALID")
      #expect(try await list("?n=-1").response.status == 400)
      #expect(try await list("?n=99999999999999999999").tags == tags)
      try await registry.pushImage("b/c", "1")
      let catalog = try await registry.send("GET", "/v2/_catalog")
      #expect(catalog.json["repositories"] == ["a", "b/c"])
      let first = try await registry.send("GET", "/v2/_catalog?n=1")
      #expect(first.json["repositories"] == ["a"])
      #expect(first["link"] == "</v2/_catalog?n=1&last=a>; rel=\"next\"")
      #expect(try await registry.send("GET", "/v2/_catalog?n=1&last=a").json["repositories"] == ["b/c"])
    }
  }

  @Test func deleting() async throws {
    try await TestRegistry.use { registry in
      let image = try await registry.pushImage("a", "1")
      try await registry.pushImage("a", "2")
      #expect(try await registry.send("DELETE", "/v2/a/manifests/1").status == 202)
      #expect(try await registry.send("GET", "/v2/a/manifests/1").status == 404)
      #expect(try await registry.send("DELETE", "/v2/a/manifests/1").status == 404)
      // A tag is no more than a tag.
      #expect(try await registry.send("GET", "/v2/a/manifests/\(image.digest)").status == 200)
      #expect(try await registry.send("DELETE", "/v2/a/manifests/\(image.digest)").status == 202)
      for reference in ["2", image.digest.description] {
        #expect(try await registry.send("GET", "/v2/a/manifests/\(reference)").status == 404)
      }
      #expect(try await registry.send("GET", "/v2/a/tags/list").json["tags"] == [])
      let blob = try await registry.push([1, 2, 3], to: "a")
      #expect(try await registry.send("DELETE", "/v2/a/blobs/\(blob)").status == 202)
      #expect(try await registry.send("HEAD", "/v2/a/blobs/\(blob)").status == 404)
      #expect(try await registry.send("DELETE", "/v2/a/blobs/\(blob)").code == "BLOB_UNKNOWN")
    }
  }

  @Test func referrers() async throws {
    try await TestRegistry.use { registry in
      let image = try await registry.pushImage("a", "1")
      let subject = Descriptor(mediaType: MediaType.manifest, digest: image.digest, size: Int64(image.bytes.count))
      let none = try await registry.send("GET", "/v2/nowhere/referrers/\(image.digest)")
      #expect(none.status == 200 && none.json["manifests"] == [] && none["content-type"] == MediaType.index)
      let tag = "sha256-\(image.digest.hex)"
      #expect(try await registry.send("GET", "/v2/a/manifests/\(tag)").status == 404)

      let signature = try await registry.pushImage(
        "a", "digest", seed: "s", subject: subject, artifactType: "application/x-signature", annotations: ["k": "v"])
      #expect(signature.response.status == 201)
      #expect(signature.response["oci-subject"] == image.digest.description)
      let bill = try await registry.pushImage("a", "sbom", seed: "b", subject: subject)
      let all = try await registry.send("GET", "/v2/a/referrers/\(image.digest)")
      let found = all.json["manifests"]?.array ?? []
      #expect(
        Set(found.compactMap { $0["digest"]?.string }) == [signature.digest.description, bill.digest.description])
      let one = try #require(found.first { $0["digest"]?.string == signature.digest.description })
      #expect(one["artifactType"]?.string == "application/x-signature")
      #expect(one["annotations"] == ["k": "v"])
      #expect(one["size"]?.int == Int64(signature.bytes.count))
      #expect(all["oci-filters-applied"] == nil)
      // Without a type of its own, an artifact has its configuration's.
      let filtered = try await registry.send(
        "GET", "/v2/a/referrers/\(image.digest)?artifactType=\(Query.percentEncoded(MediaType.config))")
      #expect(filtered["oci-filters-applied"] == "artifactType")
      #expect(filtered.json["manifests"]?.array?.compactMap { $0["digest"]?.string } == [bill.digest.description])
      // Clients without the referrers API find the same list under the tag.
      let fallback = try await registry.send("GET", "/v2/a/manifests/\(tag)")
      #expect(fallback.status == 200 && fallback.body == all.body && fallback["content-type"] == MediaType.index)
      // A subject that is not there.
      let missing = Descriptor(mediaType: MediaType.manifest, digest: Digest(of: [5]), size: 123)
      let early = try await registry.pushImage("a", "digest", seed: "e", subject: missing)
      #expect(early.response.status == 201 && early.response["oci-subject"] == missing.digest.description)
      #expect(
        try await registry.send("GET", "/v2/a/referrers/\(missing.digest)").json["manifests"]?.array?.count == 1)
      #expect(try await registry.send("DELETE", "/v2/a/manifests/\(early.digest)").status == 202)
      #expect(try await registry.send("GET", "/v2/a/referrers/\(missing.digest)").json["manifests"] == [])
    }
  }

  /// What the disk has spoiled can be taken away, or pushed again.
  @Test func damagedManifests() async throws {
    try await TestRegistry.use { registry in
      let image = try await registry.pushImage("a", "1")
      let other = try await registry.pushImage("a", "2", seed: "other")
      for digest in [image.digest, other.digest] {
        try DurableFile.write([1, 2, 3], to: registry.content.blobPath(digest))
      }
      #expect(try registry.content.scrub().count == 2)
      for tag in ["1", "2"] { #expect(try await registry.send("GET", "/v2/a/manifests/\(tag)").status == 500) }
      #expect(try await registry.send("DELETE", "/v2/a/manifests/1").status == 202)
      #expect(try await registry.send("DELETE", "/v2/a/manifests/\(image.digest)").status == 202)
      #expect(try await registry.send("GET", "/v2/a/manifests/1").status == 404)
      #expect(try await registry.pushImage("a", "2", seed: "other").response.status == 201)
      #expect(try await registry.send("GET", "/v2/a/manifests/2").body == other.bytes)
    }
  }

  @Test func immutableTags() async throws {
    try await TestRegistry.use({
      $0.immutability = [.init(repositories: [Glob("**")], tags: [Glob("v*")], except: [Glob("v0")])]
    }) { registry in
      let image = try await registry.pushImage("a", "v1")
      #expect(try await registry.pushImage("a", "v1").response.status == 201, "the same again is no change")
      let moved = try await registry.pushImage("a", "v1", seed: "other")
      #expect(moved.response.status == 403 && moved.response.code == "DENIED")
      #expect(try await registry.send("GET", "/v2/a/manifests/v1").body == image.bytes)
      #expect(try await registry.send("DELETE", "/v2/a/manifests/v1").status == 403)
      #expect(try await registry.send("DELETE", "/v2/a/manifests/\(image.digest)").status == 403)
      for tag in ["latest", "v0"] {
        try await registry.pushImage("a", tag)
        #expect(try await registry.pushImage("a", tag, seed: "other").response.status == 201)
      }
    }
  }
}
