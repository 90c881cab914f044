import LinuxSystem
import OCI
import TestKit
import Testing

@testable import Layers

@Suite struct TarWriterTests {
  private static let long = String(repeating: "directory-name/", count: 9) + String(repeating: "n", count: 90)
  private static let longer = String(repeating: "x", count: 200) + "/" + String(repeating: "y", count: 250)

  private static let entries: [TarEntry] = [
    TarEntry(kind: .directory, path: "./", mode: 0o755),
    TarEntry(kind: .directory, path: "etc/", mode: 0o1777, owner: 1, group: 2, modified: 1_700_000_000),
    TarEntry(kind: .file, path: "etc/empty", mode: 0o644),
    TarEntry(kind: .file, path: "etc/set-id", size: 513, mode: 0o6755, owner: 3_000_000, group: 4_000_000_000),
    TarEntry(kind: .file, path: "etc/\u{E9}\u{1F600}", size: 512, mode: 0o600, modified: 1, modifiedNanoseconds: 5),
    TarEntry(kind: .file, path: "early", mode: 0o600, modified: -2, modifiedNanoseconds: 500_000_000),
    TarEntry(kind: .file, path: "just-before", mode: 0o600, modified: -1, modifiedNanoseconds: 999_999_999),
    TarEntry(kind: .file, path: "negative", mode: 0o600, modified: -86_400),
    TarEntry(kind: .file, path: "late", mode: 0o600, modified: 10_000_000_000),
    TarEntry(kind: .file, path: String(repeating: "a", count: 100), mode: 0o600),
    TarEntry(kind: .file, path: String(repeating: "a", count: 101), mode: 0o600),
    TarEntry(kind: .file, path: long, size: 3, mode: 0o600),
    TarEntry(kind: .file, path: longer, size: 3, mode: 0o600),
    TarEntry(kind: .directory, path: String(repeating: "d/", count: 120), mode: 0o700),
    TarEntry(kind: .directory, path: String(repeating: "d", count: 100) + "/", mode: 0o700),
    TarEntry(kind: .symbolicLink, path: "link", target: "../out/\u{FC}", mode: 0o777),
    TarEntry(kind: .symbolicLink, path: "link2", target: longer, mode: 0o777),
    TarEntry(kind: .hardLink, path: "hard", target: "etc/set-id", mode: 0o644),
    TarEntry(kind: .pipe, path: "pipe", mode: 0o600),
    TarEntry(kind: .characterDevice, path: "null", mode: 0o666, deviceMajor: 1, deviceMinor: 3),
    TarEntry(kind: .blockDevice, path: "loop", mode: 0o660, deviceMajor: 7, deviceMinor: 1_000_000),
    TarEntry(
      kind: .file, path: "attributes", size: 1, mode: 0o755,
      attributes: [
        FileAttribute(name: "security.capability", value: [1, 0, 0, 2, 0, 0xFF, 10, 0]),
        FileAttribute(name: "user.empty", value: []),
        FileAttribute(name: "user.text", value: Array("a=b\n c".utf8)),
      ]),
  ]

  private func archive() throws -> [UInt8] {
    let sink = MemorySink()
    let tar = TarWriter(to: sink)
    for entry in TarWriterTests.entries { try tar.append(entry, content: noise(Int(entry.size), seed: 9)) }
    try tar.finish()
    #expect(tar.bytesWritten == Int64(sink.bytes.count))
    return sink.bytes
  }

  @Test func whatIsWrittenIsRead() throws {
    let bytes = try archive()
    #expect(bytes.count % 512 == 0)
    let members = try Member.all(bytes)
    #expect(members.count == TarWriterTests.entries.count)
    for (member, entry) in zip(members, TarWriterTests.entries) {
      #expect(member.entry == entry)
      #expect(member.content == noise(Int(entry.size), seed: 9))
    }
    #expect(try archive() == bytes)
  }

  @Test func debiansTarReadsIt() async throws {
    let result = try await Subprocess.run("tar", ["-tvf", "-", "--numeric-owner"], stdin: try archive())
    #expect(result.status == .exited(0))
    #expect(result.stderr.isEmpty, "\(String(decoding: result.stderr, as: UTF8.self))")
    let lines = String(decoding: result.stdout, as: UTF8.self).split(separator: "\n")
    #expect(lines.count == TarWriterTests.entries.count)
    #expect(lines[3].hasPrefix("-rwsr-sr-x 3000000/4000000000"))
    #expect(lines.contains { $0.hasSuffix(TarWriterTests.longer) })
    #expect(lines.contains { $0.contains("1,3") && $0.hasSuffix("null") })
  }

  @Test func contentMustBeWhatWasSaid() throws {
    let tar = TarWriter(to: MemorySink())
    try tar.append(TarEntry(kind: .file, path: "a", size: 10, mode: 0o644))
    try tar.write([1, 2, 3])
    #expect(throws: OCIError.self) { try tar.append(TarEntry(kind: .file, path: "b", mode: 0o644)) }
    #expect(throws: OCIError.self) { try tar.finish() }
    #expect(throws: OCIError.self) { try tar.write([UInt8](repeating: 0, count: 8)) }
    try tar.write([UInt8](repeating: 0, count: 7))
    try tar.finish()
  }

  @Test func badEntriesAreRefused() {
    let bad = [
      TarEntry(kind: .file, path: "", mode: 0), TarEntry(kind: .file, path: "a\u{0}b", mode: 0),
      TarEntry(kind: .file, path: String(repeating: "a/", count: 3000), mode: 0),
      TarEntry(kind: .file, path: "a", size: -1, mode: 0),
      TarEntry(kind: .file, path: "a", mode: 0, modifiedNanoseconds: 1_000_000_000),
      TarEntry(kind: .file, path: "a", mode: 0, attributes: [FileAttribute(name: "user.a=b", value: [])]),
      TarEntry(
        kind: .file, path: "a", mode: 0,
        attributes: (0..<40).map { FileAttribute(name: "user.\($0)", value: [UInt8](repeating: 1, count: 65536)) }),
      TarEntry(kind: .blockDevice, path: "a", mode: 0, deviceMajor: .max),
    ]
    for entry in bad {
      #expect(throws: OCIError.self) { try TarWriter(to: MemorySink()).append(entry) }
    }
  }

  /// 9 GiB of a file that does not exist: only the headers are looked at.
  @Test func largeSizesArePax() throws {
    let sink = MemorySink()
    let tar = TarWriter(to: sink)
    let size: Int64 = 9 << 30
    try tar.append(TarEntry(kind: .file, path: "big", size: size, mode: 0o644))
    try tar.write([UInt8](repeating: 7, count: 300 << 10))
    var reader = TarReader(MemorySource(sink.bytes), label: "big")
    #expect(try reader.next()?.size == size)
  }
}
