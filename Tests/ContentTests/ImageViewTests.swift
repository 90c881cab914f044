import Glibc
import LinuxSystem
import OCI
import TestKit
import Testing
import Wire

@testable import Content

/// Images as a view of the content store.
@Suite struct ImageViewTests {
  private let folder = TemporaryFolder()
  private let clock = TestClock()
  private let app = Repository(path: "team/app")
  private let base = layer { $0.file("bin/app", "program") }
  private let upper = layer { $0.file("etc/conf", "x") }

  private func open() throws -> ImageStore {
    try ImageStore.open(root: "\(folder.path)/images", time: clock)
  }

  private func manifest(_ builder: ImageBuilder) throws -> [UInt8] {
    let config = builder.config()
    let layers = builder.layers.map {
      Descriptor(mediaType: MediaType.layer, digest: Digest(of: $0), size: Int64($0.count))
    }
    return Manifest(
      config: Descriptor(mediaType: MediaType.config, digest: Digest(of: config), size: Int64(config.count)),
      layers: layers
    ).json.serialized()
  }

  private func push(_ builder: ImageBuilder, to repository: Repository, tags: [String], in store: ContentStore) throws
    -> Digest
  {
    for blob in [builder.config()] + builder.layers {
      let upload = try store.beginUpload(in: repository)
      try upload.append(blob)
      _ = try upload.finish(Digest(of: blob))
    }
    return try store.putManifest(
      try manifest(builder), mediaType: MediaType.manifest, tags: tags, in: repository
    ).digest
  }

  @Test func whatIsPushedIsAnImage() throws {
    let store = try open()
    let content = store.content
    #expect(throws: OCIError.self) { try content.setRegistryHosts(["no host"]) }
    try content.setRegistryHosts(["localhost:5000", "127.0.0.1:5000"])
    let digest = try push(ImageBuilder(layers: [base]), to: app, tags: ["1"], in: content)
    let image = try #require(try store.image("localhost:5000/team/app:1"))
    #expect(image.digest == digest)
    #expect(image.names == ["localhost:5000/team/app:1"])
    #expect(try store.image("127.0.0.1:5000/team/app:1") == image)
    #expect(try store.image("localhost:5000/team/app@\(digest)") == image)
    #expect(try store.image("team/app:1") == nil)
    #expect(try open().list() == [image])
    // And what is named here is in the registry.
    try store.tag("localhost:5000/team/app:1", as: "localhost:5000/other:2")
    #expect(try content.manifest(.tag("2"), in: Repository(path: "other"))?.digest == digest)
    #expect(try content.isLinked(Digest(of: base), in: Repository(path: "other")))
    try store.tag("localhost:5000/team/app:1", as: "mine")
    #expect(
      try store.image("mine")?.names == [
        "docker.io/library/mine:latest", "localhost:5000/other:2", "localhost:5000/team/app:1",
      ])
    #expect(throws: OCIError.self) { try store.tag("nothing", as: "mine") }
    // Not everything in a registry is an image.
    try content.push(Content("artifact"), to: app, tags: ["artifact"])
    #expect(store.list().count == 1)
  }

  @Test func anIndexMeansThisPlatform() throws {
    let store = try open()
    let content = store.content
    let other = ImageBuilder(layers: [upper], architecture: machineArchitecture == "amd64" ? "arm64" : "amd64")
    let own = ImageBuilder(layers: [base])
    let otherDigest = try push(other, to: app, tags: [], in: content)
    let digest = try push(own, to: app, tags: [], in: content)
    func descriptor(_ digest: Digest, _ architecture: String) throws -> Descriptor {
      Descriptor(
        mediaType: MediaType.manifest, digest: digest, size: 1,
        platform: Platform(os: "linux", architecture: architecture))
    }
    let index = Index(manifests: [
      try descriptor(otherDigest, other.architecture), try descriptor(digest, own.architecture),
    ]).json.serialized()
    try content.putManifest(
      index, mediaType: MediaType.index, tags: ["multi"], in: Repository(host: "quay.io", path: "x"),
      requiring: .nothing)
    #expect(try store.image("quay.io/x:multi")?.digest == digest)
    #expect(try store.image("quay.io/x@\(Digest(of: index))")?.digest == digest)
    #expect(try store.image("quay.io/x:multi")?.names == ["quay.io/x:multi"])
    #expect(store.list().map(\.digest) == [digest])
  }

  @Test func takesAnOlderIndexOver() async throws {
    // A store as the version before left it.
    let first = ImageBuilder(layers: [base])
    let second = ImageBuilder(layers: [base, upper])
    var entries: [JSON] = []
    let index = Digest(of: [1, 2, 3])
    try Directory.create("\(folder.path)/images/blobs/sha256")
    for (builder, name) in [(first, "localhost/web:1"), (second, nil)] as [(ImageBuilder, String?)] {
      for blob in [try manifest(builder), builder.config()] + builder.layers {
        _ = try folder.write(blob, "images/blobs/sha256/\(Digest(of: blob).hex)")
      }
      let bytes = try manifest(builder)
      var descriptor = Descriptor(mediaType: MediaType.manifest, digest: Digest(of: bytes), size: Int64(bytes.count))
      if let name { descriptor.annotations["org.opencontainers.image.ref.name"] = name }
      descriptor.annotations["dev.apus.image.index-digest"] = index.description
      entries.append(descriptor.json)
    }
    entries.append(Descriptor(mediaType: MediaType.manifest, digest: Digest(of: [9]), size: 1).json)
    _ = try folder.write(
      (["schemaVersion": 2, "manifests": .array(entries)] as JSON).serialized(), "images/index.json")
    _ = try folder.write(Array("{}".utf8), "images/oci-layout")
    _ = try folder.write([7], "images/blobs/sha256/\(Digest(of: [7]).hex)")

    let store = try open()
    #expect(access("\(store.root)/index.json", F_OK) != 0)
    #expect(access("\(store.root)/oci-layout", F_OK) != 0)
    #expect(store.list().map(\.names) == [["localhost/web:1"], []])
    #expect(try store.image("localhost/web:1")?.digest == Digest(of: try manifest(first)))
    #expect(try store.image("localhost/web@\(index)") != nil)
    #expect(try store.image(Digest(of: second.config()).hex) != nil)
    if geteuid() == 0 { _ = try await store.unpack(try #require(try store.image("localhost/web:1"))) }
    clock.advance(.seconds(1000 * 3600))
    _ = try store.content.collectGarbage()
    #expect(try store.content.scrub().isEmpty)
    // Two manifests, two configurations, two layers; not the file that belonged to nothing.
    #expect(try Directory.list("\(store.root)/blobs/sha256").count == 6)
    try store.remove(Digest(of: second.config()).description)
    #expect(try open().list().map(\.names) == [["localhost/web:1"]])
    #expect(try Directory.list("\(store.root)/blobs/sha256").count == 3)
  }

  @Test func namesThatMoveAnnounceIt() throws {
    let store = try open()
    func inode() -> UInt64 {
      var status = stat()
      return stat("\(store.changesFolder)/names", &status) == 0 ? UInt64(status.st_ino) : 0
    }
    let before = inode()
    try store.content.push(Content("a"), to: app, tags: ["1"])
    let after = inode()
    #expect(before != after)
    _ = try store.content.manifest(.tag("1"), in: app)
    _ = try store.content.storeBlob([1], lease: try store.content.lease(for: .seconds(1)))
    #expect(inode() == after)
  }

  @Test(.enabled(if: geteuid() == 0))
  func aPinnedImageCanBeRunAfterItsNameIsGone() async throws {
    let store = try open()
    let tar = try ImageBuilder(layers: [base]).ociTar(name: "a:1")
    let image = try await store.importArchive(path: try folder.write(tar, "i.tar"))[0]
    let pins = store.content.pinSet("node")
    #expect(try pins.pin(image.digest))
    let folders = try await store.unpack(image)
    try store.remove("a:1")
    #expect(try store.image("a:1") == nil)
    clock.advance(.seconds(1000 * 3600))
    _ = try store.content.collectGarbage()
    #expect(try store.image(image.digest.description)?.layers == image.layers)
    #expect(access("\(folders[0])/bin/app", F_OK) == 0)
    try pins.unpin(image.digest)
    _ = try store.content.collectGarbage()
    clock.advance(.seconds(1000 * 3600))
    _ = try store.content.collectGarbage()
    #expect(try Directory.list("\(store.root)/blobs/sha256").isEmpty)
    #expect(try Directory.list("\(store.root)/unpacked").isEmpty)
  }
}
