import Glibc
import Layers
import LinuxSystem
import OCI
import TestKit
import Testing
import Wire

@testable import Content

@Suite struct ImageExportTests {
  private let folder = TemporaryFolder()

  private let base = layer { tar in
    tar.folder("bin/")
    tar.file("bin/app", "program")
  }
  private let upper = layer { $0.file("etc/conf", [UInt8](repeating: 7, count: 100_000)) }

  private func store(_ name: String = "images") throws -> ImageStore {
    try ImageStore.open(root: "\(folder.path)/\(name)")
  }

  private func filled() async throws -> ImageStore {
    let store = try store()
    let packed = try await compressed(upper, with: "gzip")
    let (first, second) = (base, upper)
    let builder = ImageBuilder(layers: [first, second], compress: { $0 == second ? packed : $0 })
    let tar = try builder.ociTar(name: "localhost:5000/team/app:1")
    _ = try await store.importArchive(path: try folder.write(tar, "i.tar"))
    try store.tag("localhost:5000/team/app:1", as: "app:2")
    return store
  }

  @Test(arguments: ArchiveFormat.allCases)
  func importsAgain(format: ArchiveFormat) async throws {
    let source = try await filled()
    let image = try #require(try source.image("app:2"))
    let path = "\(folder.path)/out"
    try await source.exportArchive(["app:2", "localhost:5000/team/app:1"], to: path, format: format)
    let target = try store("other")
    _ = try await target.importArchive(path: path)
    let copy = try #require(try target.image("localhost:5000/team/app:1"))
    #expect(copy.names == ["docker.io/library/app:2", "localhost:5000/team/app:1"])
    #expect(copy.id == image.id)
    #expect(copy.layers.map(\.diffID) == image.layers.map(\.diffID))
    if format != .dockerArchive { #expect(copy.digest == image.digest) }
    // Equal images give equal bytes.
    if format != .ociFolder {
      let bytes = try DurableFile.read(path, limit: 1 << 24)
      try await source.exportArchive(["app:2", "localhost:5000/team/app:1"], to: path, format: format)
      #expect(try DurableFile.read(path, limit: 1 << 24) == bytes)
    }
    #expect(try Directory.list(folder.path).allSatisfy { !$0.contains(".tmp.") })
  }

  @Test func aDockerArchiveHasPlainLayers() async throws {
    let source = try await filled()
    let path = "\(folder.path)/out.tar"
    try await source.exportArchive(["app:2"], to: path, format: .dockerArchive)
    let members = try members(of: try DurableFile.read(path, limit: 1 << 24))
    #expect(members["\(Digest(of: base).hex).tar"] == base && members["\(Digest(of: upper).hex).tar"] == upper)
    let manifest = try JSON.parse(try #require(members["manifest.json"]))
    #expect(manifest.array?[0]["RepoTags"]?.array == ["app:2"])
    let repositories = try JSON.parse(try #require(members["repositories"]))
    #expect(repositories.at("app", "2")?.string == Digest(of: upper).hex)
  }

  @Test func withoutAName() async throws {
    let source = try await filled()
    let image = try #require(try source.image("app:2"))
    let path = "\(folder.path)/out.tar"
    try await source.exportArchive([image.digest.description], to: path)
    let members = try members(of: try DurableFile.read(path, limit: 1 << 24))
    let index = try Index(try #require(members["index.json"]), label: "i")
    #expect(index.manifests.map(\.digest) == [image.digest] && index.manifests[0].annotations.isEmpty)
    #expect(index.manifests[0].platform == .host)
  }

  @Test func damageIsFoundAndNothingAppears() async throws {
    let source = try await filled()
    let image = try #require(try source.image("app:2"))
    _ = try DurableFile.write(
      [UInt8](repeating: 1, count: Int(image.layers[1].size)), to: source.blobPath(image.layers[1].digest))
    for format in ArchiveFormat.allCases {
      let error = await #expect(throws: OCIError.self) {
        try await source.exportArchive(["app:2"], to: "\(folder.path)/out", format: format)
      }
      #expect(error?.message.contains(image.layers[1].digest.hex) == true, "\(error?.message ?? "")")
    }
    #expect(access("\(folder.path)/out", F_OK) != 0)
    #expect(try Directory.list(folder.path).allSatisfy { !$0.contains(".tmp.") })
    await #expect(throws: OCIError.self) { try await source.exportArchive(["nothing"], to: "\(folder.path)/out") }
    await #expect(throws: OCIError.self) { try await source.exportArchive([], to: "\(folder.path)/out") }
  }

  @Test func aFolderThatIsUsedIsLeftAlone() async throws {
    let source = try await filled()
    let image = try #require(try source.image("app:2"))
    try Directory.create("\(folder.path)/out")
    _ = try folder.write([1], "out/mine")
    let error = await #expect(throws: OCIError.self) {
      try await source.exportArchive([image.id.description], to: "\(folder.path)/out", format: .ociFolder)
    }
    #expect(error?.code == .unsupported)
    #expect(try Directory.list("\(folder.path)/out") == ["mine"])
  }

  /// An image that was made here, as Go's programs read it: manifests, compressed layers, pax headers.
  @Test(.enabled(if: geteuid() == 0 && access("/usr/bin/skopeo", X_OK) == 0), arguments: [Compression.gzip, .zstd])
  func skopeoReadsIt(compression: Compression) async throws {
    let store = try store()
    let lease = try store.content.lease(for: .seconds(60))
    defer { lease.release() }
    let long = String(repeating: "long-name-", count: 14) + "\u{E9}"
    let entries = [
      LayerEntry(path: "", content: .directory, mode: 0o750),
      LayerEntry(path: "etc/\(long)/conf", content: .bytes(noise(400_000, seed: 2)), owner: 3_000_000, mode: 0o640),
      LayerEntry(
        path: "etc/attributes", content: .bytes([1]),
        attributes: [FileAttribute(name: "user.note", value: Array("a=b".utf8))]),
      LayerEntry(path: "etc/link", content: .symbolicLink(target: long)),
      LayerEntry(path: "a-hard-link", content: .hardLink(target: "etc/attributes")),
      LayerEntry(path: "var/gone", content: .whiteout),
    ]
    var options = LayerOptions()
    options.compression = compression
    let layer = try store.content.writeLayer(.entries(entries, lowers: nil), options: options, lease: lease)
    var config = ImageConfig()
    (config.os, config.architecture, config.cmd) = ("linux", Platform.host.architecture, ["/bin/true"])
    let document = ConfigDocument(
      config: config, diffIDs: [layer.diffID],
      history: [History(createdBy: "COPY . /"), History(createdBy: "CMD true", isEmptyLayer: true)])
    let blob = try store.content.storeBlob(document.json.serialized(), lease: lease)
    let manifest = Manifest(
      config: Descriptor(mediaType: MediaType.config, digest: blob.digest, size: blob.size), layers: [layer.descriptor])
    let name = try Reference(parsing: "localhost/made:1")
    try store.content.putManifest(
      manifest.json.serialized(), mediaType: MediaType.manifest, digest: nil, tags: ["1"],
      in: try store.content.repository(for: name), requiring: .present)

    for (format, transport) in [
      (ArchiveFormat.ociArchive, "oci-archive"), (.ociFolder, "oci"), (.dockerArchive, "docker-archive"),
    ] {
      let path = "\(folder.path)/\(transport)"
      try await store.exportArchive(["localhost/made:1"], to: path, format: format)
      let copy = "\(folder.path)/\(transport)-copy"
      let result = try await Subprocess.run(
        "skopeo", ["--insecure-policy", "copy", "\(transport):\(path)", "oci:\(copy):1"], timeout: .seconds(120))
      #expect(result.status == .exited(0), "\(transport): \(String(decoding: result.stderr, as: UTF8.self))")
      let again = try self.store("\(transport)-store")
      let image = try await again.importArchive(path: copy)[0]
      #expect(image.layers.map(\.diffID) == [layer.diffID])
      #expect(image.config.cmd == ["/bin/true"])
    }
    guard compression == .gzip, access("/usr/bin/umoci", X_OK) == 0 else { return }
    let bundle = "\(folder.path)/bundle"
    let result = try await Subprocess.run(
      "umoci", ["unpack", "--image", "\(folder.path)/oci:1", bundle], timeout: .seconds(120))
    #expect(result.status == .exited(0), "\(String(decoding: result.stderr, as: UTF8.self))")
    let tree = try SourceTree("\(bundle)/rootfs")
    #expect(try tree.status("etc/\(long)/conf")?.owner == 3_000_000)
    #expect(try tree.status("etc/\(long)/conf")?.size == 400_000)
    #expect(try tree.open("etc/attributes").attribute("user.note") == Array("a=b".utf8))
    #expect(try tree.target("etc/link") == long)
    #expect(try tree.status("a-hard-link")?.inode == (try tree.status("etc/attributes")?.inode))
    #expect(try tree.status("")?.mode == 0o750)
  }
}
