import TestKit
import Testing
import Wire

@testable import OCI

/// Parsers of what comes from outside: whatever the bytes, they end, within their limits, with a value or an error.
@Suite struct FuzzTests {
  @Test func manifests() throws {
    let digest = Digest(of: [1])
    let layer = Descriptor(
      mediaType: MediaType.layer(.gzip), digest: digest, size: 5, annotations: ["a": "b"], platform: .host)
    let image = Manifest(
      config: layer, layers: [layer, layer], artifactType: "t", subject: layer, annotations: ["k": "v"])
    let index = Index(manifests: [layer, layer], subject: layer)
    var config = ImageConfig()
    config.cmd = ["a"]
    config.exposedPorts = ["80/tcp"]
    config.healthcheck = ImageConfig.Healthcheck()
    config.healthcheck?.interval = .seconds(3)
    let document = ConfigDocument(config: config, diffIDs: [digest], history: [History(createdBy: "x")])
    for seed in 0..<1000 {
      var random = SeededGenerator(seed: UInt64(seed))
      for good in [image.json, index.json] {
        // The same bytes are understood the same way, also after they have been written again.
        if let parsed = try? ManifestDocument(random.mutated(good.serialized()), label: "m") {
          let again: JSON
          switch parsed {
          case .image(let manifest): again = manifest.json
          case .index(let index): again = index.json
          }
          #expect(try ManifestDocument(again.serialized(), label: "m") == parsed, "seed \(seed)")
        }
      }
      if let parsed = try? ConfigDocument(random.mutated(document.json.serialized()), label: "c") {
        #expect(
          try ConfigDocument(parsed.json.serialized(), label: "c").config.cmd == parsed.config.cmd, "seed \(seed)")
      }
    }
  }

  @Test func referencesAndPlatforms() throws {
    let references = [
      "nginx", "localhost:5000/team/app:1.2-rc", "quay.io/a/b_c/d__e-f@sha256:\(String(repeating: "a", count: 64))",
      "[::1]:5000/x:y", "docker.io/library/busybox:latest@sha512:\(String(repeating: "0", count: 128))",
    ]
    let platforms = ["linux/amd64", "linux/arm/v7", "windows/amd64", "arm64"]
    for seed in 0..<2000 {
      var random = SeededGenerator(seed: UInt64(seed))
      let text = String(
        decoding: random.mutated(Array(references.randomElement(using: &random)!.utf8)), as: UTF8.self)
      if let reference = try? Reference(parsing: text) {
        #expect(try Reference(parsing: reference.description) == reference, "seed \(seed): \(text)")
        #expect(!reference.repository.contains("..") && !reference.repository.hasPrefix("/"), "seed \(seed): \(text)")
        #expect(reference.description.utf8.count < 1000)
      }
      _ = Digest(text)
      let platform = String(
        decoding: random.mutated(Array(platforms.randomElement(using: &random)!.utf8)), as: UTF8.self)
      if let parsed = try? Platform(parsing: platform) {
        #expect(try Platform(parsing: parsed.description) == parsed, "seed \(seed): \(platform)")
      }
    }
  }
}
