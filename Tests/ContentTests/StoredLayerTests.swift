import Glibc
import Layers
import LinuxSystem
import OCI
import TestKit
import Testing

@testable import Content

/// Layers that are written into the store, and files that become blobs.
@Suite struct StoredLayerTests {
  private let folder = TemporaryFolder()

  /// Nobody wants the bytes.
  private final class Nowhere: ByteSink {
    func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {}
  }

  private func plain(_ entries: [LayerEntry]) throws -> LayerSummary {
    var options = LayerOptions()
    options.compression = .none
    return try LayerWriter.write(.entries(entries, lowers: nil), to: Nowhere(), options: options)
  }

  /// As a builder would do it: the layer goes into the store, and a container's root is made of it.
  @Test(.enabled(if: geteuid() == 0))
  func goesIntoTheStore() async throws {
    try Directory.create("\(folder.path)/context")
    _ = try folder.write(noise(700_000, seed: 1), "context/large")
    _ = try folder.write(Array("#!/bin/sh\n".utf8), "context/run.sh")
    let tree = try SourceTree("\(folder.path)/context")
    let entries = [
      LayerEntry(path: "app/run.sh", content: .file(tree, path: "run.sh"), owner: 10, group: 20),
      LayerEntry(path: "app/large", content: .file(tree, path: "large"), mode: 0o600, modified: FileTime(seconds: 9)),
      LayerEntry(path: "app/again.sh", content: .hardLink(target: "app/run.sh")),
      LayerEntry(path: "app/config", content: .bytes(Array("x=1".utf8)), mode: 0o640),
    ]
    let summary = try plain(entries)
    let store = try ImageStore.open(root: "\(folder.path)/images")
    let lease = try store.content.lease(for: .seconds(60))
    defer { lease.release() }
    for compression in Compression.allCases {
      var options = LayerOptions()
      options.compression = compression
      let layer = try store.content.writeLayer(.entries(entries, lowers: nil), options: options, lease: lease)
      #expect(layer.descriptor.mediaType == MediaType.layer(compression))
      #expect(layer.diffID == summary.diffID)
      #expect(try store.content.blobSize(layer.descriptor.digest) == layer.descriptor.size)
      #expect(layer.entries == 5, "with the folder that they are in")
      let image = Image(
        layers: [
          Image.Layer(
            blob: layer.descriptor.digest, diffID: layer.diffID, size: layer.descriptor.size,
            mediaType: layer.descriptor.mediaType)
        ], label: "test")
      let folders = try await store.unpack(image)
      #expect(try DurableFile.read("\(folders[0])/app/config", limit: 100) == Array("x=1".utf8))
    }
    let bad = LayerEntry(path: "gone", content: .file(try SourceTree(folder.path), path: "gone"))
    #expect(throws: OCIError.self) { try store.content.writeLayer(.entries([bad], lowers: nil), lease: lease) }
    #expect(try Directory.list("\(folder.path)/images/work").count <= 1)
  }

  @Test func aDescriptorSaysWhereTheTableIsVerified() throws {
    let store = try ContentStore.open(root: folder.path)
    let lease = try store.lease(for: .seconds(60))
    let entries = [
      LayerEntry(path: "bin/large", content: .bytes(noise(2_500_000, seed: 3))),
      LayerEntry(path: "dev/null", content: .characterDevice(major: 1, minor: 3)),
    ]
    var options = LayerOptions()
    options.compression = .gzip
    options.isSeekable = true
    options.allowsDevices = true
    let stored = try store.writeLayer(.entries(entries, lowers: nil), options: options, lease: lease)
    #expect(stored.descriptor.mediaType == MediaType.layer(.gzip))
    let layer = Image.Layer(stored.descriptor, diffID: stored.diffID)
    #expect(layer.tocDigest == stored.descriptor.tocDigest && layer.tocDigest != nil)
    #expect(layer.descriptor == stored.descriptor)
    options.isSeekable = false
    let plain = try store.writeLayer(.entries(entries, lowers: nil), options: options, lease: lease)
    #expect(plain.descriptor.annotations.isEmpty && plain.descriptor.tocDigest == nil)
  }

  @Test func aFileBecomesABlob() throws {
    let store = try ContentStore.open(root: "\(folder.path)/store")
    let lease = try store.lease(for: .seconds(60))
    try Directory.create("\(folder.path)/store/lazy")
    let bytes = noise(100_000, seed: 1)
    let path = try folder.write(bytes, "store/lazy/0")
    let error = #expect(throws: OCIError.self) {
      try store.storeBlob(file: path, expecting: Digest(of: [1]), lease: lease)
    }
    #expect(error?.code == .digestMismatch)
    #expect(access(path, F_OK) == 0)
    let stored = try store.storeBlob(file: path, expecting: Digest(of: bytes), lease: lease)
    #expect(stored.size == 100_000)
    #expect(unlink(path) == 0)
    #expect(try DurableFile.read(store.blobPath(stored.digest), limit: 1 << 20) == bytes)
    // Once more: it is here already.
    let again = try folder.write(bytes, "store/lazy/1")
    #expect(try store.storeBlob(file: again, expecting: Digest(of: bytes), lease: lease).digest == stored.digest)
    #expect(access(again, F_OK) == 0)
  }
}
