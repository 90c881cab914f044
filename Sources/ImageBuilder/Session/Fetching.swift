import Distribution
import Dockerfile
import Glibc
import LinuxSystem
import NIOCore
import OCI

/// What a URL has: for `ADD`, and as the build context.
enum Download {
  static let bytesMax: Int64 = 16 << 30

  struct Fetched: Sendable {
    var path: String
    /// Under which it goes into a folder: the last part of the address; empty when that has none.
    var name: String
    var material: Material
  }

  /// Fetches into a file of the folder.
  static func fetch(
    _ url: String, into folder: String, checksum: String?, client: RegistryClient, _ vertex: ProgressVertex
  ) async throws(BuildError) -> Fetched {
    let path = "\(folder)/download"
    // Without a user and password, which are refused below, and which nobody else is to read.
    let shown = RemoteSource.withoutCredentials(url)
    var expected: Digest?
    if let checksum {
      guard let digest = Digest(checksum) else {
        throw BuildError(.dockerfile, "--checksum=\(checksum) is no digest: write sha256: and 64 hexadecimal digits")
      }
      expected = digest
    }
    let fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw BuildError(SystemError.last("create \(path)")) }
    defer { close(fd) }
    var hasher = DigestHasher(expected?.algorithm ?? .sha256)
    var count: Int64 = 0
    var name = ""
    do {
      let stream = try await client.fetch(url)
      name = stream.lastPathComponent
      while let buffer = try await stream.next() {
        count += Int64(buffer.readableBytes)
        guard count <= bytesMax else { throw BuildError(.network, "\(shown) has more than \(bytesMax) bytes") }
        let failure = buffer.withUnsafeReadableBytes { bytes in
          hasher.update(bytes)
          return DurableFile.writeAll(fd, bytes)
        }
        guard failure == 0 else { throw BuildError(SystemError("write \(path)", errno: failure)) }
      }
    } catch let error as DistributionError {
      throw BuildError(.network, "\(shown): \(error.message)")
    } catch {
      throw asBuildError(error)
    }
    let digest = hasher.finish()
    if let expected, digest != expected {
      throw BuildError(.network, "digest mismatch \(digest): \(expected): \(shown) is not what --checksum says")
    }
    vertex.status("\(shown) \(SizeText.decimal(count)) done")
    // The same content gives the same layer, whenever it was fetched.
    var times = [timespec(tv_sec: 0, tv_nsec: 0), timespec(tv_sec: 0, tv_nsec: 0)]
    futimens(fd, &times)
    // Names that mean another folder are none.
    if name == "." || name == ".." { name = "" }
    if name.isEmpty { name = RemoteSource.fileName(of: url) ?? "" }
    return Fetched(path: path, name: name, material: .download(url, digest))
  }
}

enum SizeText {
  /// As buildx writes sizes: `2.10kB`, `512B`.
  static func decimal(_ bytes: Int64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"]
    var value = bytes * 100
    var unit = 0
    while value >= 100_000, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    if unit == 0 { return "\(bytes)B" }
    let fraction = value % 100
    return "\(value / 100).\(fraction < 10 ? "0" : "")\(fraction)\(units[unit])"
  }
}
