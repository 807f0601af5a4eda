import Encoding
import OAuth
import Providers
import Secrets
import Testing

@Suite("The built-in catalogue")
struct CatalogueTests {
    @Test("Every entry is read, and none is configured without its variables")
    func everyEntryIsRead() throws {
        let catalogue = try Catalogue.load(environment: [:])
        #expect(catalogue.providers.count == 18)
        #expect(catalogue.providers.values.allSatisfy { !$0.isConfigured })
        #expect(catalogue.warnings.isEmpty)
    }
}
