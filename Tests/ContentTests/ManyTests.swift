import OCI
import SQLite
import TestKit
import Testing
import Wire

@testable import Content

/// Ten thousand of something: a page costs what it holds, not what there is.
@Suite struct ManyTests {
  private let folder = TemporaryFolder()
  private let app = Repository(path: "team/app")

  private func open() throws -> ContentStore {
    try ContentStore.open(root: "\(folder.path)/images", time: TestClock(), isDurable: false, faults: Faults())
  }

  /// How SQLite goes about a query.
  private func plan(_ query: String, _ store: ContentStore) throws -> String {
    try store.readers.read { (catalog: Catalog) throws(OCIError) in
      try catalog.all("EXPLAIN QUERY PLAN \(query)") { row in row.text(3) }.joined(separator: "\n")
    }
  }

  @Test func referrers() throws {
    let store = try open()
    let subject = Digest(of: Array("subject".utf8))
    var wanted = Set<Digest>()
    for index in 0..<10_000 {
      let json: JSON = [
        "schemaVersion": 2, "mediaType": .string(MediaType.manifest),
        "artifactType": .string(index % 100 == 0 ? "application/rare" : "application/common"),
        "config": Descriptor(mediaType: MediaType.empty, digest: Digest(of: Array("{}".utf8)), size: 2).json,
        "layers": [], "annotations": ["number": .string("\(index)")],
        "subject": Descriptor(mediaType: MediaType.manifest, digest: subject, size: 7).json,
      ]
      let record = try store.putManifest(
        json.serialized(), mediaType: MediaType.manifest, in: app, requiring: .nothing)
      wanted.insert(record.digest)
    }
    var found: [Digest] = []
    var mark: Int64? = 0
    var pages = 0
    while let after = mark {
      let page = try store.referrers(to: subject, in: app, after: after, bytesMax: 100_000)
      #expect(page.descriptors.reduce(0) { $0 + $1.json.serialized().count } <= 100_000)
      #expect(page.descriptors.count > 100 || page.next == nil)
      found += page.descriptors.map(\.digest)
      mark = page.next
      pages += 1
    }
    #expect(Set(found) == wanted && found.count == 10_000 && pages > 20)
    let rare = try store.referrers(to: subject, in: app, artifactType: "application/rare", bytesMax: 1 << 20)
    #expect(rare.descriptors.count == 100 && rare.next == nil)
    // One that is larger than a page is a page.
    #expect(try store.referrers(to: subject, in: app, bytesMax: 1).descriptors.count == 1)
    // A page goes on where the last one ended, also when that referrer is gone.
    let first = try store.referrers(to: subject, in: app, bytesMax: 3000)
    let last = try #require(first.descriptors.last)
    #expect(try store.deleteManifest(last.digest, in: app))
    let second = try store.referrers(to: subject, in: app, after: try #require(first.next), bytesMax: 3000)
    #expect(Set(first.descriptors.map(\.digest)).isDisjoint(with: second.descriptors.map(\.digest)))
    let plan = try plan(Catalog.referrersQuery, store)
    #expect(plan.contains("INDEX manifest_subject (subject=? AND repository=? AND blob>?)"), "\(plan)")
    #expect(!plan.contains("TEMP B-TREE"), "\(plan)")
  }

  @Test func tags() throws {
    let store = try open()
    let image = Content("a")
    for start in stride(from: 0, to: 10_000, by: 100) {
      let tags = (start..<start + 100).map { "v\($0)" }
      try store.putManifest(image.manifest, mediaType: MediaType.manifest, tags: tags, in: app, requiring: .nothing)
    }
    var found: [String] = []
    while true {
      let page = try store.tags(in: app, after: found.last, limit: 777)
      #expect(page.count <= 777)
      found += page
      if page.count < 777 { break }
    }
    #expect(found == (0..<10_000).map { "v\($0)" }.sorted())
    let plan = try plan(Catalog.tagsQuery, store)
    #expect(plan.contains("INDEX tag_order (repository=? AND name>?)"), "\(plan)")
    #expect(!plan.contains("TEMP B-TREE"), "\(plan)")
  }
}
