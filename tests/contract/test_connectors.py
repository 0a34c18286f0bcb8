"""Every built-in connector passes the suite that third parties run."""

from fairlead_sdk.conformance import ConnectorSuite

from fairlead_basics import BasicsConnector
from fairlead_invoices import InvoicesConnector


class TestBasics(ConnectorSuite):
    connector = BasicsConnector


class TestInvoices(ConnectorSuite):
    connector = InvoicesConnector
