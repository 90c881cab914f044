import Dockerfile
import OCI
import Testing
import Wire

@testable import ImageBuilder

@Suite struct CacheKeyTests {
  let scope = KeyScope(platform: "linux/amd64", compression: .gzip, sourceDateEpoch: nil)

  func run(_ text: String, arguments: [String: String] = [:]) throws -> CacheKey {
    let plan = try plan(text, arguments: arguments)
    guard case .run(let step) = plan.steps.last?.kind else { throw BuildError(.system, "no RUN") }
    return CacheKey.run(step, base: "base", mountContents: [], extraHosts: [], scope: scope)
  }

  @Test func runDependsOnWhatItSees() throws {
    let key = try run("FROM base\nRUN make\n")
    #expect(try run("FROM base\nLABEL a=b\nEXPOSE 1\nRUN make\n") == key)
    #expect(try run("FROM base\nRUN make all\n") != key)
    #expect(try run("FROM base\nENV A=1\nRUN make\n") != key)
    #expect(try run("FROM base\nARG A=1\nRUN make\n") != key)
    #expect(try run("FROM base\nUSER 1\nRUN make\n") != key)
    #expect(try run("FROM base\nWORKDIR /x\nRUN make\n") != key)
    #expect(try run("FROM base\nRUN --network=none make\n") != key)
    #expect(try run("FROM base\nRUN --mount=type=cache,target=/c make\n") != key)
    #expect(try run("FROM base\nRUN make\n", arguments: ["HTTPS_PROXY": "x"]) == key)
    // An argument counts where it is declared, not before.
    #expect(try run("FROM base\nRUN make\n", arguments: ["A": "1"]) == key)
  }

  @Test func fieldsCannotRunIntoOneAnother() {
    var first = KeyHasher("x")
    first.add("a", ["b", "c"])
    var second = KeyHasher("x")
    second.add("a", ["bc", ""])
    #expect(first.finish() != second.finish())
  }

  func content(_ folder: Folder, _ source: String = ".") async throws -> String {
    let tree = try folder.tree()
    var selections = try Selector(tree: tree, treeIndex: 0, excluded: nil, keepsParents: false).select(source)
    let sources = CopySources(trees: [tree])
    try await Selection.hash(&selections, sources)
    return CacheKey.content(selections, sources: sources)
  }

  @Test func copyDependsOnContentAndModeAndNotOnPlaceAndTime() async throws {
    let (one, two) = (Folder(), Folder())
    for folder in [one, two] {
      folder.write("a/b", "content")
      folder.link("l", to: "a")
    }
    let key = try await content(one)
    #expect(try await content(two) == key)
    two.write("a/b", "content")
    #expect(try await content(two) == key)
    two.write("a/b", "content", mode: 0o755)
    #expect(try await content(two) != key)
    two.write("a/b", "other")
    #expect(try await content(two) != key)
    two.write("a/b", "content")
    two.write("a/c", "")
    #expect(try await content(two) != key)
  }

  @Test func chainIsTheLayersContent() {
    let a = Image.Layer(blob: Digest(of: [1]), diffID: Digest(of: [2]), size: 1, mediaType: "x")
    let recompressed = Image.Layer(blob: Digest(of: [3]), diffID: Digest(of: [2]), size: 2, mediaType: "y")
    #expect(CacheKey.chain([a]) == CacheKey.chain([recompressed]))
    #expect(CacheKey.chain([a]) != CacheKey.chain([a, a]))
    #expect(CacheKey.chain([]) != CacheKey.chain([a]))
  }

  @Test func exportedCacheIsReadBack() throws {
    let layer = Image.Layer(blob: Digest(of: [1]), diffID: Digest(of: [2]), size: 1, mediaType: "x")
    var contents = RemoteCache.Contents()
    contents.records["k"] = CacheRecord(layer: layer, created: .init(microseconds: 1_700_000_000_123_456))
    contents.records["empty"] = CacheRecord(layer: nil, created: .init(seconds: 1))
    contents.mounts[String(repeating: "a", count: 64)] = layer
    #expect(RemoteCache.Contents(contents.json) == contents)
    // A name that would leave its folder is no cache.
    contents.mounts["../x"] = layer
    #expect(RemoteCache.Contents(contents.json) == nil)
  }
}
