import Glibc

/// Why a file cannot be read or written.
struct FileFailure: Error, CustomStringConvertible {
  var operation: String
  var path: String
  var code: Int32

  var description: String { "cannot \(operation) \(path): \(String(cString: strerror(code)))" }
}

/// The little of a file system that the compiler needs; it runs at build time and shares nothing with the server.
enum Files {
  /// The names in a folder, sorted, without hidden ones.
  static func list(_ path: String) throws(FileFailure) -> [String] {
    guard let folder = opendir(path) else { throw FileFailure(operation: "list", path: path, code: errno) }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
  }

  static func read(_ path: String) throws(FileFailure) -> String {
    guard let file = fopen(path, "r") else { throw FileFailure(operation: "open", path: path, code: errno) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { break }
      bytes += buffer[..<count]
    }
    guard ferror(file) == 0 else { throw FileFailure(operation: "read", path: path, code: errno) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Writes only when the text differs, so that the build sees no change where there is none.
  static func write(_ text: String, to path: String) throws(FileFailure) {
    if (try? read(path)) == text { return }
    guard let file = fopen(path, "w") else { throw FileFailure(operation: "create", path: path, code: errno) }
    let bytes = Array(text.utf8)
    let written = fwrite(bytes, 1, bytes.count, file)
    guard fclose(file) == 0, written == bytes.count else {
      throw FileFailure(operation: "write", path: path, code: errno)
    }
  }
}
