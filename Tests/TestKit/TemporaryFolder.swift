import Glibc

/// A folder below /tmp that is removed with the object.
package final class TemporaryFolder: Sendable {
  package let path: String

  package struct Failure: Error, CustomStringConvertible {
    package let description: String
  }

  package init() {
    var template = Array("/tmp/apus-test-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit { Self.remove(Array(path.utf8CString)) }

  /// By bytes: tests have names that are no UTF-8. A symbolic link is removed and not followed.
  private static func remove(_ path: [CChar]) {
    guard unlink(path) != 0, let folder = opendir(path) else { return }
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) {
          Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1))
        }
      }
      let (dot, end) = (CChar(0x2E), CChar(0))
      if name != [dot, end], name != [dot, dot, end] { remove(path.dropLast() + [CChar(0x2F)] + name) }
    }
    closedir(folder)
    rmdir(path)
  }

  /// Writes a file, as a new one in the place of one that is there; returns its path.
  package func write(_ bytes: [UInt8], _ name: String) throws -> String {
    let file = "\(path)/\(name)"
    let temporary = "\(file).new"
    guard let stream = fopen(temporary, "wxe") else {
      throw Failure(description: "cannot create \(temporary): \(errno)")
    }
    let isWhole = fchmod(fileno(stream), 0o644) == 0 && fwrite(bytes, 1, bytes.count, stream) == bytes.count
    guard fclose(stream) == 0, isWhole, rename(temporary, file) == 0 else {
      throw Failure(description: "cannot write \(file): \(errno)")
    }
    return file
  }
}
