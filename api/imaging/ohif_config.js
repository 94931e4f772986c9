// The settings of our OHIF: it reads this file before it starts. Nothing here depends on who asks.

window.PUBLIC_URL = '/viewer/';
console.time('scriptToView'); // OHIF ends this when it shows something, and warns where nobody began it

// OHIF would load code from an address by this.
window.browserImportFunction = () => Promise.reject(new Error('not part of this viewer'));

// Links name the study at /viewer/, OHIF's page for it is /viewer/basic. OHIF takes the token out of the address; it is
// kept for this tab and study, so that a reload finds it again. Whether it is still good, every request asks the server.
(() => {
  const address = new URL(window.location.href);
  const given = address.searchParams;
  if (address.pathname === '/viewer/') address.pathname = '/viewer/basic';
  const place = `labwire-viewer ${given.getAll('StudyInstanceUIDs').concat(given.getAll('studyInstanceUIDs'))}`;
  const token = given.get('token') || window.sessionStorage.getItem(place);
  if (token) {
    window.sessionStorage.setItem(place, token);
    given.set('token', token);
  }
  given.delete('expires');
  window.history.replaceState(null, '', address);
})();

// A link that has ended leaves what is on the screen, and says so above it. OHIF itself shows no reason for refused images.
(() => {
  const place = 'labwire-refused';
  const tellRefused = status => {
    if (![401, 403].includes(status) || document.getElementById(place)) return;
    const line = document.createElement('div');
    line.id = place;
    line.setAttribute('role', 'alert');
    line.textContent = 'This link has ended or does not open this study. Open the study from labwire again.';
    document.body.append(line);
  };
  const { fetch } = window;
  window.fetch = async (...given) => {
    const answer = await fetch(...given);
    tellRefused(answer.status);
    return answer;
  };
  const { send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.send = function (...given) {
    this.addEventListener('loadend', () => tellRefused(this.status));
    return send.apply(this, given);
  };
})();

const isNarrow = window.innerWidth < 700;

window.config = {
  name: 'labwire',
  routerBasename: '/viewer/',
  showStudyList: false,
  extensions: [],
  modes: [],
  // Nothing is stored from here: no panel that would, of measurements as reports or of segmentations.
  modesConfiguration: {
    '@ohif/mode-basic': {
      routes: { 0: { layoutInstance: { props: { rightPanels: { $set: [] }, leftPanelClosed: { $set: isNarrow } } } } },
    },
  },
  showPatientInfo: isNarrow ? 'visibleCollapsed' : 'visible',
  investigationalUseDialog: { option: 'never' },
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  showLoadingIndicator: true,
  showErrorDetails: 'production',
  strictZSpacingForVolumeViewport: true,
  maxNumberOfWebWorkers: 3,
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  whiteLabeling: {
    createLogoComponentFn: React =>
      React.createElement('span', { className: 'text-foreground text-lg' }, isNarrow ? '' : 'labwire'),
  },
  customizationService: [{ 'ohif.tours': { $set: [] } }],
  httpErrorHandler: () => {}, // must be there
  defaultDataSourceName: 'labwire',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'labwire',
      configuration: {
        friendlyName: 'labwire',
        name: 'labwire',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        supportsReject: false,
        supportsStow: false,
        dicomUploadEnabled: false,
        imageRendering: 'wadors',
        // Small pictures come ready from the server, asked for with the token.
        thumbnailRendering: 'thumbnail',
        thumbnailRequestStrategy: 'fetch',
        enableStudyLazyLoad: true,
        omitQuotationForMultipartRequest: true,
        // BulkDataURI begins with /dicom-web/: taken as it is, for the roots above are paths, too.
        bulkDataURI: { enabled: true },
        // Video and documents would be fetched by address alone, without the token.
        singlepart: '',
      },
    },
  ],
};
