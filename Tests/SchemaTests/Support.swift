import Glibc
import Testing
import Wire

@testable import Schema

/// The files of the repository, found from where this file was compiled.
enum Repository {
  static let root = String(#filePath.dropLast("/Tests/SchemaTests/Support.swift".count))

  static func read(_ path: String) throws -> String {
    let file = try #require(fopen("\(root)/\(path)", "r"), "cannot open \(path)")
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { break }
      bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  static func list(_ path: String) throws -> [String] {
    let folder = try #require(opendir("\(root)/\(path)"), "cannot list \(path)")
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

  static func sources() throws -> [(name: String, text: String)] {
    try list("Schemas").map { (name: $0, text: try read("Schemas/\($0)")) }
  }
}

func kind(_ apiVersion: String, _ name: String) throws -> KindSchema {
  let groupVersion = try #require(GroupVersion(apiVersion: apiVersion))
  return try #require(
    SchemaRegistry.builtin.kind(
      GroupVersionKind(group: groupVersion.group, version: groupVersion.version, kind: name)))
}

/// Decodes and defaults, and expects no complaint.
func made(_ apiVersion: String, _ name: String, _ text: String) throws -> JSON {
  let schema = try kind(apiVersion, name)
  var json = try JSON.parse(text)
  let report = schema.decode(&json)
  #expect(report == DecodeReport())
  schema.applyDefaults(&json)
  return json
}

/// The errors of an object that decodes well, as text.
func problems(
  _ apiVersion: String, _ name: String, _ text: String, old: String? = nil, subresource: String = ""
) throws -> [String] {
  let schema = try kind(apiVersion, name)
  return schema.validate(
    try made(apiVersion, name, text), old: try old.map { try made(apiVersion, name, $0) }, subresource: subresource
  ).map(\.description)
}
